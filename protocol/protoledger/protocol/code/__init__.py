"""The mathematics of SwiftAgg+ (Jahani-Nezhad et al., arXiv 2203.13060), on numpy arrays.

`field` computes modulo a prime, `shares` encodes a vector into shares and decodes a sum from them,
`seats` assigns agents to groups and evaluation points, and `plans` estimates what each number of
parts K costs. Vectors of symbols come in from `wire.schema`; shares and sums go back to `rounds`.
"""
