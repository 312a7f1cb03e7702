"""A gateway in operation: health, metrics, events, and `gateway check`."""
