"""Compiles the learner's kernels in another process while the gateway already learns in numpy.

`compile` is that process: it fills a cache folder. `compiled` loads the kernels from the cache,
checks that they are intact, and switches the learner to them between two samples. Results are the
same with and without; only speed differs.
"""
