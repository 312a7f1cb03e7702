"""The systemd units of an agent and a gateway, for playbooks and for `protoledger service`.

A unit is closed as far as its process allows: no capabilities, no system calls of administrators,
no devices but those that its sensors' drivers name, and nothing to write but its own folders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["edge", "gateway"]
WATCHDOG_S = {"edge": 120, "gateway": 120}

_HEAD = """\
[Unit]
Description=protoledger {what} {device}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec={watchdog_s}
ExecStart={command} {kind} run --config {config}
ExecReload=/bin/kill -HUP $MAINPID
"""
_OWN = {
    "edge": """\
Environment=BLINKA_SKIP_DEPENDENCY_CHECK=1
""",
    "gateway": """\
CacheDirectory=protoledger
Environment=NUMBA_CACHE_DIR=%C/protoledger
TimeoutStopSec=60
""",
}
_SHOWN = """\
RuntimeDirectory=protoledger-edge
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
"""
"""Where an agent's metrics file may lie, which the node exporter reads, of stopped agents too."""
_CLOSED = """\
Restart=always
RestartSec=2
RestartPreventExitStatus=64 78
UMask=0077
ProtectSystem=strict
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
DevicePolicy=closed
"""
_LIMITS = {
    "edge": "SystemCallFilter=~@privileged @resources\nMemoryDenyWriteExecute=yes\n"
    "MemoryMax=192M\nTasksMax=64\n",
    "gateway": "SystemCallFilter=~@privileged\nMemoryMax=768M\nTasksMax=128\n",
}
_FOOT = """
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class StateOfSystem:
    """The service runs as a user of its own, and keeps its state where systemd puts it.

    Attributes:
        credentials: secret files by the name under which the service finds them.
    """

    credentials: Mapping[str, str]

    def lines(self) -> list[str]:
        """Return the settings of this choice."""
        return [
            *(f"LoadCredential={name}:{path}" for name, path in self.credentials.items()),
            "StateDirectory=protoledger",
            "StateDirectoryMode=0700",
            "WorkingDirectory=%S/protoledger",
            "DynamicUser=yes",
            "ProtectHome=yes",
        ]


@dataclass(frozen=True)
class StateInFolder:
    """The service runs as the owner of a device's folder, and keeps its state there.

    Attributes:
        user: the folder's owner.
        folder: the device's folder, absolute.
        readable: further folders below /home or /root that the program itself lies in.
    """

    user: str
    folder: str
    readable: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Return the settings of this choice."""
        return [
            f"User={self.user}",
            f"WorkingDirectory={self.folder}",
            "ProtectHome=tmpfs",
            f"BindPaths={self.folder}",
            *(f"BindReadOnlyPaths={path}" for path in self.readable),
            f"ReadWritePaths={self.folder}",
        ]


def unit_text(
    kind: Kind,
    device: str,
    state: StateOfSystem | StateInFolder,
    *,
    command: str,
    config: str,
    devices: Sequence[str] = (),
    groups: Sequence[str] = (),
    watchdog_s: int | None = None,
) -> str:
    """Write a unit.

    Args:
        kind: an agent's or a gateway's.
        device: its id, for the description.
        state: whose user it runs as, and where it keeps its state.
        command: absolute path of the program `protoledger`.
        config: absolute path of the device's file.
        devices: device nodes or classes that its sensors need, as `DeviceAllow` takes them.
        groups: groups that own those.
        watchdog_s: seconds without a sign of life after which systemd restarts it.

    Raises:
        ValueError: a path or name has a character that a unit would read as something else.
    """
    for text in (device, command, config, *state.lines(), *devices, *groups):
        if any(c.isspace() and c != " " for c in text) or any(c in text for c in "\"'\\$;"):
            raise ValueError(f"{text!r} cannot stand in a unit: quotes, tabs, $, ; or \\ are in it")
    if " " in command + config or "%" in command + config:
        raise ValueError(f"{command} {config}: a path with blanks or % cannot stand in a unit")
    head = _HEAD.format(
        what="agent" if kind == "edge" else "gateway",
        device=device,
        watchdog_s=watchdog_s or WATCHDOG_S[kind],
        command=command,
        kind=kind,
        config=config,
    )
    own = "\n".join([*state.lines(), ""])
    opened = [f"DeviceAllow={each} rw" for each in devices] or ["PrivateDevices=yes"]
    if kind == "edge" and isinstance(state, StateOfSystem):
        own += _SHOWN
    if groups:
        opened.append(f"SupplementaryGroups={' '.join(groups)}")
    return head + own + _OWN[kind] + _CLOSED + "\n".join([*opened, ""]) + _LIMITS[kind] + _FOOT
