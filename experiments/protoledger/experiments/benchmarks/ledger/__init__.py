"""`bench ledger`: gas of operations and of whole runs, and the speed of commits.

`operations` measures single transactions and the ledger client, `replay` runs the paper's streams
through gateways on a node, and `bench` compares the gas with that of the authors' contracts.
"""
