"""What the command `protoledger contracts` does with contracts alone."""
