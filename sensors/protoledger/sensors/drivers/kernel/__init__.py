"""Drivers of sensors that Linux reads: a driver finds the device's files and converts their unit.

The kernel does the timing, the bus and the checksum. `kernel_files` reads one small file and turns
each way in which that can fail into an error of `protoledger.sensors`.
"""
