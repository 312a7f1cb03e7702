"""The parts that `edge check` and `gateway check` share.

`device_files` reads a device's files and collects every error in them. `broker` connects and tests
the access list. `findings` holds the items of a report, prints them and chooses the exit code.
`protoledger.edge.check` and `protoledger.gateway.operations` build their reports from these.
"""

from protoledger.runtime.check.broker import Client, check_broker
from protoledger.runtime.check.device_files import DeviceFiles
from protoledger.runtime.check.findings import CheckResult, Item, print_report

__all__ = ["CheckResult", "Client", "DeviceFiles", "Item", "check_broker", "print_report"]
