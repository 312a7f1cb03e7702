"""Chains of several owners on this machine, with one validator and one RPC address per owner.

`start` brings a chain up by its name: Anvil and `geth --dev` are one node that all owners ask;
Clique (proof of authority) and Avalanche (proof of stake by repeated sampling) are real networks of
validators, which `make validators` builds. Everything listens on the loopback interface.
"""

from protoledger.emulator.processes.networks.starting import CHAINS, Started, program_of, start

__all__ = ["CHAINS", "Started", "program_of", "start"]
