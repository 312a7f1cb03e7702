"""XuILVQ with our improvements, the default learner.

`classifier` is the estimator, `state` its arrays, `metric` its adaptive distance, and `numpy_body`
the learning step in numpy, which the compiled kernels repeat. Samples scaled to [0, 1] come in;
prototypes and predictions go out.
"""
