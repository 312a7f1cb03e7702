"""`bench learner`: accuracy and speed of XuILVQ, compared with river's classifiers.

`measures` runs learners over the paper's streams, `plain_xuilvq` is an independent implementation
of the published algorithm, `picture` draws prototypes, and `bench` prints the tables.
"""
