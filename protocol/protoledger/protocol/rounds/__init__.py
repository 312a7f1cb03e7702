"""The two state machines of a round, an agent's and a gateway's, without I/O."""
