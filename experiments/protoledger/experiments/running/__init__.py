"""How an experiment's jobs are run, and how a run is written down.

Jobs, small frozen values, flow to a local pool of processes, one a core; rows flow back in the
order of the jobs. A record holds the rows and all that they depend on, so that two runs can be
compared and a published figure can be replayed.
"""
