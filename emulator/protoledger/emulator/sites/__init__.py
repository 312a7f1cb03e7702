"""A site of one's own, without Ansible: `protoledger site` writes its files and keeps them right.

A site is a folder: the owner's secrets, the broker's files, and a folder for each device with all
that the device needs. It lives beside the emulation because both write whole deployments, for which
they must know agents, gateways and contracts; the layers allow that only up here. What playbooks do
as well is below: `protoledger.runtime.pki` and `protoledger.contracts.client.owned`.
"""
