"""A whole deployment on one machine: broker, chain, gateways and agents as separate processes.

What flows through it: a data source's rows go to the agents' processes, their shares over a real
MQTT broker to the gateways' processes, the gateways' commits to a real Ethereum node, and what
each process reports about itself (a JSON object a line) back here, to the live view and the report.
"""
