"""The gateway's client of PrototypeBuffer and DataOracle, in its own thread.

`follower` reads all owners' codebooks from the chain, `sender` commits the site's own, and `outbox`
stores what is to be committed, so that no commit is lost or sent twice. The client reports `events`
to the gateway's queue; it shares no state with the gateway's thread.
"""
