"""The parts of `protoledger contracts` that need the contracts only.

They deploy the contracts, create keys, and show and change who may commit. Arguments come in from
the command line, transactions go out to a node. `protoledger.gateway.commands.contracts` adds the
commands that read codebooks.
"""
