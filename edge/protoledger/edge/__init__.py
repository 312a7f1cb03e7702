"""The agent on a Pi.

Sensors are read into windows (`windows`), a window is shared in a round
(`protoledger.protocol.rounds.agent`), and `host` is the loop that joins them to the broker. An
agent never sees another agent's reading, and nobody sees its own.
"""
