"""Bring the gateway's own codebook on to the chain, exactly once.

The learner's wish enters the `outbox`, which is on disk; `sender` turns it into one signed
transaction at a time and watches it land; `fees` says what to offer for it.
"""
