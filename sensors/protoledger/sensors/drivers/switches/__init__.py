"""Drivers of parts with two states: buttons, motion sensors, contacts and digital outputs.

They share `switch`, which counts edges, so that a press between two reads is not lost. A reading is
the configured `active_value` or `idle_value`, which may be the number of a label.
"""
