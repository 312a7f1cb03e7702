"""Sensors without hardware: `mock` computes readings from a seed, `replay` reads a CSV recording.

`derived` computes a reading from others of the same agent. The other two number their readings, so
that all agents of an emulated site can be moved to the same row. `recording` parses a CSV file once
for all sensors of a process that replay it.
"""
