"""`bench aggregation`: the computation of a round, compared with Flower's SecAgg+ and with Prio3.

`own_round` runs a site's state machines, seals and signatures in one process, `flower_round` runs
Flower's workflow in an environment of its own, `prio_round` runs the program of `experiments/prio`,
which is built where cargo is, and `bench` compares CPU time and bytes.
"""
