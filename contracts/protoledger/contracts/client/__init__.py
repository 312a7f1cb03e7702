"""The contracts and their node as Python objects.

Calls go from `binding` (encoding) through an account that signs to the node's JSON-RPC; answers,
events and errors come back decoded, or raise one of `protoledger.contracts.errors`. `deployment`
creates the contracts and sends an owner's transactions.
"""
