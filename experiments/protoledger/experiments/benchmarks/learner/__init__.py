"""`bench learner`: accuracy and speed of XuILVQ, beside river's classifiers."""
