"""The learners' steps as machine code; importing this compiles, or loads what was compiled.

Only `protoledger.gateway.learner.compilation.compiled` imports it, after it has told numba where
the cache is. Every kernel has a plain numpy twin outside this folder and gives the same bits: sums
run in the order that both name, and nothing is fused or reordered (no fastmath).
"""

from protoledger.gateway.learner.kernels import improved, look, reference, shared, union

__all__ = ["improved", "look", "reference", "shared", "union"]
