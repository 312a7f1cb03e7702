"""Drivers of real sensors, a file each: options, what is occupied, and how a value is read."""
