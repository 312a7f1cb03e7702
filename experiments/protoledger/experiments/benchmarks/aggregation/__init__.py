"""`bench aggregation`: the computation of a round, compared with Flower's SecAgg+.

`own_round` runs a site's state machines, seals and signatures in one process, `flower_round` runs
Flower's workflow in an environment of its own, and `bench` compares CPU time and bytes.
"""
