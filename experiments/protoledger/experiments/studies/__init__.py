"""One experiment a file: its jobs, its table and its picture."""
