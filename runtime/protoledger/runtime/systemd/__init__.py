"""What a service of ours and systemd say to each other.

`units` writes the units that start it, `Notifier` reports from inside it that it is ready and
alive.
"""

from protoledger.runtime.systemd.notifier import Notifier

__all__ = ["Notifier"]
