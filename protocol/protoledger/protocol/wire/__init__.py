"""What agents and gateways send each other, and how strictly it is decoded.

`schema` turns windows into symbols and sums into samples; `messages` and `topics` define the
encodings; `identity` holds keys and the signed roster; `sealing` signs and encrypts; `terms` are
the parameters on which a site's devices must agree. Bytes from the network are refused unless
their version, length and fields are exactly right.
"""
