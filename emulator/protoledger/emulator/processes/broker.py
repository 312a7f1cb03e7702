"""The MQTT broker of an emulated deployment: a real Mosquitto as a child process.

It listens on the loopback interface only, with TLS, and keeps no message on disk. Each client has a
certificate, whose common name is the user name in the access list. All sites share one broker; the
access list separates them. `protoledger.emulator.processes.embedded_broker` replaces Mosquitto
where that is not installed, and `ExternalBroker` is a broker that the user runs.
"""

import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from protoledger.emulator.errors import BrokerError, ProgramMissingError
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import SERVERS, Children
from protoledger.runtime.broker.limits import ROOMY, BrokerLimits
from protoledger.runtime.broker.mosquitto import configuration
from protoledger.runtime.key_files import write_secret

LOOPBACK = "127.0.0.1"
MAX_PACKET_BYTES = 8 << 20  # 100,000 symbols in one share are 0.4 MB
_TRIES = 5  # a free port may be taken by another process before the broker binds it
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """The address of a broker, and how clients connect to it.

    Attributes:
        host: Host name or address.
        port: TCP port.
        authority: Certificate (PEM file) of the authority that signed the broker's; None: no TLS.
        client_certificates: Whether the broker identifies clients by their certificates.
    """

    host: str
    port: int
    authority: Path | None
    client_certificates: bool


class Broker(Protocol):
    """A broker that the emulator can start or connect to."""

    def start(self, timeout_s: float = 10.0) -> BrokerAddress:
        """Start the broker and wait until it accepts connections.

        Raises:
            BrokerError: If it does not within `timeout_s`; the message has the end of its log.
        """
        ...


class Mosquitto:
    """Mosquitto, 2.0.11 or newer, as a child process.

    Args:
        folder: Where configuration, access list and certificates go.
        authority: Issues the broker's certificate, and the clients'.
        acl: The whole access list, see `protoledger.runtime.broker.access_list.acl_text`.
        children: Owns the process, which is named `broker` there.
        limits: What a client may send, and let lie.
    """

    def __init__(
        self,
        folder: Path,
        authority: CertificateAuthority,
        acl: str,
        children: Children,
        limits: BrokerLimits = ROOMY,
    ) -> None:
        self._folder = folder
        self._authority = authority
        self._acl = acl
        self._limits = limits
        self._children = children

    def start(self, timeout_s: float = 10.0) -> BrokerAddress:
        """Start Mosquitto on a free port of the loopback interface; see `Broker.start`.

        Raises:
            ProgramMissingError: If Mosquitto is not installed.
            BrokerError: If it does not start.
        """
        program = find_mosquitto()
        if program is None:
            raise ProgramMissingError(
                "mosquitto is not installed; `make setup` installs it where it may, "
                "`--broker embedded` does not need it",
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        acl_file = self._folder / "mosquitto.acl"
        write_secret(acl_file, self._acl.encode(), replace=True)
        credentials = self._authority.server()

        def arguments(port: int) -> list[str | Path]:
            file = self._folder / "mosquitto.conf"
            text = configuration(
                f"{port} {LOOPBACK}",
                self._limits,
                authority=str(credentials.authority),
                certificate=str(credentials.certificate),
                key=str(credentials.key),
                acl=str(acl_file),
            )
            write_secret(file, text.encode(), replace=True)
            return [program, "-c", file]

        port = start_listening(self._children, arguments, self._authority.file, timeout_s)
        return BrokerAddress(LOOPBACK, port, self._authority.file, client_certificates=True)


class ExternalBroker:
    """A broker that the user runs: plain TCP, or TLS if its authority's certificate is given."""

    def __init__(self, host: str, port: int, authority: Path | None = None) -> None:
        self._address = BrokerAddress(host, port, authority, client_certificates=False)

    def start(self, timeout_s: float = 10.0) -> BrokerAddress:
        """Wait until the broker accepts connections; see `Broker.start`.

        Raises:
            BrokerError: If it does not, or the authority did not sign its certificate.
        """
        deadline = time.monotonic() + timeout_s
        where = self._address
        while (problem := try_connection(where.host, where.port, where.authority)) is not None:
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"no MQTT broker at {where.host}:{where.port} ({problem}); start it, or "
                    "leave --broker out to have one started",
                )
            time.sleep(0.1)
        return where


def parse_host_port(text: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[IPv6]:PORT`.

    Raises:
        BrokerError: If the text has another form.

    Examples:
        >>> parse_host_port("[::1]:8883")
        ('::1', 8883)
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise BrokerError(
            f"{text!r} is not a broker's address; give HOST:PORT, for example 192.0.2.1:1883"
        )
    return host, int(port)


def find_mosquitto() -> Path | None:
    """Find the program, also in the folders of system services, which many users' PATH lacks."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None


def free_port() -> int:
    """Pick a TCP port of the loopback interface on which no process listens at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(pid: int, port: int) -> bool:
    """Return whether this process, not another that was faster, listens on the TCP port."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def try_connection(host: str, port: int, authority: Path | None) -> str | None:
    """Try to connect, with a TLS handshake if there is an authority; returns the error or None."""
    try:
        with socket.create_connection((host, port), timeout=2.0) as plain:
            if authority is None:
                return None
            context = ssl.create_default_context(cafile=str(authority))
            with context.wrap_socket(plain, server_hostname=host):
                return None  # with TLS 1.3 this precedes the check of a client certificate
    except OSError as error:
        if isinstance(error, ssl.SSLError) and "CERTIFICATE_REQUIRED" in str(error):
            return None
        return str(error)


def start_listening(
    children: Children,
    arguments: Callable[[int], list[str | Path]],
    authority: Path,
    timeout_s: float,
) -> int:
    """Start the child `broker` on a free port and wait until a TLS handshake succeeds.

    Args:
        children: Owns the process.
        arguments: Returns the command for a port, and writes the files that the command needs.
        authority: Certificate of the authority that signed the broker's.
        timeout_s: How long the start may take.

    Returns:
        The port.

    Raises:
        BrokerError: If the broker ends or does not answer in time; has the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    for attempt in range(_TRIES):
        name = "broker" if attempt == 0 else f"broker-{attempt + 1}"
        port = free_port()
        pid = children.start(name, arguments(port), layer=SERVERS)
        problem: str | None = "it does not listen"
        while name in children.running() and time.monotonic() < deadline:
            if listens(pid, port):
                problem = try_connection(LOOPBACK, port, authority)
                if problem is None:
                    return port
            time.sleep(0.02)
        last = children.last_lines(name)
        children.kill(name)
        if not any("in use" in line for line in last):
            shown = "\n  ".join(last) or "(its log is empty)"
            raise BrokerError(f"the MQTT broker did not start ({problem}); its log:\n  {shown}")
    raise BrokerError(f"the MQTT broker found no free port in {_TRIES} tries")
