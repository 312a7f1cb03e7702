"""`bench ledger`: gas of operations and of whole runs, and commits a second."""
