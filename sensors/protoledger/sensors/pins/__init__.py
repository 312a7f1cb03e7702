"""The machine whose pins and kernel files the drivers read: a Raspberry Pi, or one in memory.

A driver asks its `Machine` for a pin, a bus or a folder of the kernel. `simulation` answers the
same questions without hardware, with signals that change slowly.
"""
