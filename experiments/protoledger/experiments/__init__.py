"""The papers' tables and beyond, run over the real learner, records and contracts."""
