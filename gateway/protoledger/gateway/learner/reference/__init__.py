"""XuILVQ as published (González-Soto et al., arXiv 2312.12190), to compare with.

`classifier` is the estimator, `state` its arrays, and `numpy_body` the learning step in numpy,
which the compiled kernels repeat. Samples scaled to [0, 1] come in; prototypes and predictions go
out.
"""
