"""The contracts as Python values: a node, its accounts, PrototypeBuffer, deployment."""
