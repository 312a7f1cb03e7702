"""What others may exchange in the experiments: ways of sharing, and attacks on them.

Both are found by name, built in or added by another package through entry points; a study runs
each that is installed. What third parties promise is in `sharing_rules` and `attack_rules`, which
`python -m protoledger.conformance` checks.
"""
