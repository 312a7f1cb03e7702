"""All owners' prototypes together: how they vote, and how much each owner is trusted.

`union` holds the codebooks of all owners and predicts with them; `voting` combines their votes,
`trust` and `influence` estimate from the site's own samples which owners to believe, and `editing`
leaves out prototypes that harm. Codebooks come in from the ledger, labelled samples from training.
"""
