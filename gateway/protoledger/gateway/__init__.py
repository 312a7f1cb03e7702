"""A site's gateway: it learns sums, and nothing about one agent.

`rounds` come in through `protoledger.protocol.rounds.gateway`, decoded sums become `features`, a
`model` is tested and trained on them, significant changes go to the `ledger` and other gateways'
codebooks come back from it; `service` is the loop that joins them, `store` what survives a kill.
"""
