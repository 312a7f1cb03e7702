"""Test vectors of the wire format, for every implementation of a client: `protoledger vectors`.

`slow` says once more what the protocol does, on galois's algebra and without a line of
`protoledger.protocol`; `codes`, `proven`, `messages`, `noisy` and `refused` make cases with it,
`files` collects them, `compare` finds where other files differ, and `cli` is the command. Out come
seven JSON files, of which `docs/protocol.md` says what they hold.
"""
