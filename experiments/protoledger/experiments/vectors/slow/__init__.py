"""Both codes and the wire format written out slowly: an independent opinion on the protocol.

`algebra` computes shares, reports and sums with galois (polynomials over GF(2³¹ − 1), Lagrange
interpolation); `wire` writes MessagePack, HKDF, digests and envelopes by hand, and takes Ed25519,
X25519 and ChaCha20-Poly1305 from a library. Nothing here imports `protoledger.protocol`.
"""
