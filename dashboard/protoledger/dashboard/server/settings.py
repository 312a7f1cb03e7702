"""What a page's process gets when it starts: as JSON, because its starter is another program."""

import ipaddress
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""Environment of a page's process, for glibc: the 16 MiB of a login's hash are given back after it.
Of itself glibc keeps them from the second login on (mallopt(3), M_MMAP_THRESHOLD)."""


@dataclass(frozen=True)
class Settings:
    """Whom to show, and where.

    Attributes:
        sites: name and store of each gateway.
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        certificate: PEM of the server's certificate, for TLS.
        key: its private key.
        password_file: what `protoledger dashboard --new-password` wrote; without it no login.
        until_input_ends: whether to end when standard input closes, as it does with the starter.
        patience_s: how long a client may take to send a request, or to take what is sent.

    Raises:
        ValueError: it would be seen beyond this machine without TLS or without a login.
    """

    sites: tuple[tuple[str, str], ...]
    host: str = "127.0.0.1"
    port: int = 8765
    certificate: str | None = None
    key: str | None = None
    password_file: str | None = None
    until_input_ends: bool = False
    patience_s: float = 10.0

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS takes a certificate and its key: name both, or neither")
        if not self.local:
            missing = [
                what
                for what, there in (("--certificate and --key", self.certificate),
                                    ("--password-file", self.password_file))
                if there is None
            ]  # fmt: skip
            if missing:
                raise ValueError(
                    f"{self.host} can be reached from other machines, and the page tells who is at "
                    f"home: there it takes TLS and a login; add {' and '.join(missing)}"
                )

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the address.

        >>> Settings((), host="::1").local, Settings((), host="localhost").local
        (True, True)
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def secure(self) -> bool:
        """Whether the page is served with TLS."""
        return self.certificate is not None

    def stores(self) -> list[tuple[str, Path]]:
        """Return each site's name and store."""
        return [(name, Path(store)) for name, store in self.sites]

    def encode(self) -> str:
        """Return it as the argument of the page's process."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what `encode` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            content["sites"] = tuple((str(name), str(store)) for name, store in content["sites"])
            return cls(**content)
        except (TypeError, KeyError) as error:
            raise ValueError(f"no settings of a page: {error}") from error
