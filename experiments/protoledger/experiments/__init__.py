"""Experiments and benchmarks: what collaboration is worth, and what it costs.

`studies` reproduce and extend the papers' tables. They run `collaboration`, several gateways over
one dealt stream (`streams`), with the real learner, commit test, records and contracts, and
`experiment` repeats a study over seeds and writes its table and picture. `benchmarks` measure
speed, traffic and gas. No deployment imports this folder.
"""
