"""The commands `protoledger gateway`, `contracts` and `oracle`."""
