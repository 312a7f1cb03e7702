"""The learners as other libraries know classifiers: river's and scikit-learn's.

Each module needs its library, which the extra of the same name installs; nothing else here does.
Rows and labels of any kind go in, and are turned into the vectors and class indices that the
learners of this package take.
"""
