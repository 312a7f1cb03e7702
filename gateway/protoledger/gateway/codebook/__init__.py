"""A codebook of prototypes as the ledger holds it, its deltas, and their bytes."""
