"""All owners' prototypes in one vote, and how far each owner is trusted."""
