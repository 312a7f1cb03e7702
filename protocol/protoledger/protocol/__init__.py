"""What edge agents and a gateway say to each other.

A window of readings comes in as symbols (`quantise`), leaves the agent as sealed SwiftAgg+ shares
(`swiftagg`, `sealing`), and is added up by its peers until the gateway holds the sum and nothing
else. `agent_rounds` and `gateway_rounds` are the two state machines, without any I/O; `link` is the
one file that talks MQTT.
"""
