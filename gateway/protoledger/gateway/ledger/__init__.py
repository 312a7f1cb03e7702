"""The ledger's client: follow all codebooks, send one's own, lose and double nothing."""
