"""`bench aggregation`: a round's computation, beside Flower's SecAgg+."""
