"""`edge check` and `edge read`: try all before an agent is left alone, say what to do."""
