"""The agent on a Pi.

`readings` turns sensors into windows of averages. In each round `agent` hands the announced windows
to `protoledger.protocol.rounds.agent`, which splits them into shares, and publishes the shares over
MQTT; `host` is the loop that serves one or more agents. Only shares and sums of shares leave the
process: no agent, gateway or broker sees another device's readings. `check` holds the commands
`edge check` and `edge read`. An agent starts on a slow Pi, so this package imports nothing by
itself: import from its modules.
"""
