"""Outside data on the chain: the contract DataOracle, and the reporters that feed it.

A reporter reads its sources, signs what it read, exchanges signed reports with the other reporters,
and one of them submits the quorum's report as a transaction. `batches` submits labelled samples,
which gateways learn from, in the same way.
"""
