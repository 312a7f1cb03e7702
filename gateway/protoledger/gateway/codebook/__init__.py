"""A codebook of prototypes as the ledger stores it.

`format` defines the bytes of a record, `codebook` holds the records of one owner and computes their
hash, and `delta` computes and applies the change from one version to the next. A site's model goes
in as prototypes; deltas go to the chain, and codebooks of all owners come back from it.
"""
