"""Deployments in virtual time: `protoledger emulate --virtual N`.

    network file ──▶ Links ─────────┐
    dealt rows ────▶ VirtualSite ───┼──▶ Clock ──▶ VirtualRun ──▶ report
    codebooks ─────▶ VirtualLedger ─┘

All agents and gateways are the state machines of `protoledger.protocol.rounds`, with real keys,
signatures, seals, proofs and records, and each gateway has the model of a real one. What is not
real is between them: messages wait in one queue by time, so that an hour passes as fast as it can
be computed, ten thousand agents fit in one process, and a seed repeats every delay and every loss.
"""
