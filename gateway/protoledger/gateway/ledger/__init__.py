"""The gateway's client of PrototypeBuffer and DataOracle, in its own thread.

`following` reads all owners' codebooks from the chain, and `sending` commits the site's own; what
both must not forget is in `store`, so that no commit is lost or sent twice. `turns` does one after
the other. The client reports `events` to the gateway's queue; it shares no state with the gateway's
thread.
"""
