"""`bench network`: whole rounds over a real broker, from 10 to 1,000 agents.

`agents` hosts a site's agents without sensors in one process; `bench` starts broker, gateway and
agents, and measures rounds per second, latency and CPU time per agent.
"""
