"""The tools that npm installs for the contracts, and what runs them.

`toolchain` finds the programs, `build` compiles the contracts into the artifacts of
`protoledger.contracts.abi`, `analysis` runs Slither, and `local_node` starts a node for tests,
experiments and benchmarks. Nothing of a running deployment depends on this folder.
"""
