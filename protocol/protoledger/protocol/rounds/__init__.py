"""The state machines of a round, one for an agent and one for a gateway, without I/O.

The caller hands a machine each message and each passed deadline, and the machine returns the
messages to send and, at the gateway, the outcome of the round. `states` holds what a machine
knows of a round, and `hash_chain` authenticates a gateway's statements by preimages instead of
signatures.
"""
