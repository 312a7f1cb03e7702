"""Keep a checked copy of every owner's codebook, as the chain has them.

Events come from a node, block range by block range; `folding` turns them into codebooks, `follower`
holds those against the contract's state, and `copy` stores what agreed. `bases` says where a first
scan begins. The gateway learns of codebooks that changed, were dropped, or are not believed.
"""
