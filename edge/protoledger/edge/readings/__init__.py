"""From sensors to the windows that an agent contributes.

`kit` opens the sensors, each in a slot (`slots`), and reads them, each bus in its own thread
(`buses`); `windows` averages the readings of each window (`averages`)
and returns the windows of a round; `backlog` keeps the windows of an outage, and `spool` stores
them on disk. Readings flow in from `protoledger.sensors`, windows flow out to
`protoledger.protocol.rounds.agent`.
"""

from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import Slot, SlotState
from protoledger.edge.readings.windows import (
    LiveWindows,
    RoundWindows,
    Windows,
    WindowsOpener,
    open_kit,
    open_windows,
)

__all__ = [
    "Kit",
    "LiveWindows",
    "RoundWindows",
    "Slot",
    "SlotState",
    "Windows",
    "WindowsOpener",
    "open_kit",
    "open_windows",
]
