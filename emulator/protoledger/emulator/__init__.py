"""A whole deployment on one machine: broker, chain, gateways and agents as separate processes.

`sources` deals the rows of a data source to the agents, `site_files` writes the configuration that
Ansible would write, and `processes` starts the broker, the chain and the children. The agents'
shares then travel over a real MQTT broker to the gateways, and the gateways' commits to a real
Ethereum node. Every process reports events as JSON lines; `run` collects them, `progress` folds
them and compares the decoded sums with the true ones, and `view` and `report` show the result.
Child processes import this package, so it imports none of its modules.
"""
