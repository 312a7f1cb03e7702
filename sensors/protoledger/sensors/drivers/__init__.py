"""Drivers of real sensors: a driver takes options and a machine, and gives readings in one unit.

One file is one driver, and begins with its wiring. Drivers that read the kernel's files are in
`kernel`, those of anything that is either on or off in `switches`; the others talk to their chip
through a Python library. Values flow from here into a `Probe`, which filters them.
"""
