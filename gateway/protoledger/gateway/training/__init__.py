"""A site's model: samples are predicted and tested first, then learnt.

`features` scales samples, `trainer` feeds them to the `model`, `significance` decides whether the
model has improved enough for a commit, and `store` keeps the state across restarts. Samples come in
from rounds and the oracle; candidates for a commit go out to the ledger.
"""
