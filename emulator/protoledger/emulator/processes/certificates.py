"""A certificate authority for one emulated deployment, or for a bench of Pis.

The authority's private key stays in memory, so that no more certificates can be issued for this
deployment once the process has ended. `protoledger.runtime.pki.certificates` makes them, as it does
for real sites.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.runtime.broker.access_list import checked_name
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.certificates import private_pem, sign_authority, sign_device

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files of one party: its certificate, its private key, the authority's certificate."""

    authority: Path
    certificate: Path
    key: Path


class CertificateAuthority:
    """Issues the broker's certificate and one for each client.

    Args:
        folder: Folder for the files; created with mode 0700 if absent.
        days: Validity of the certificates, at least 1; it begins an hour ago, for clocks that lag.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     authority = CertificateAuthority(Path(folder) / "tls")
        ...     agent = authority.client("site-1.agent-03")
        ...     agent.certificate.name, oct(agent.key.stat().st_mode & 0o777)
        ('site-1.agent-03.crt', '0o600')
    """

    def __init__(self, folder: Path, *, days: int = 3) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._days = days
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = sign_authority(self._key, "protoledger emulation", days)
        self.file = folder / "ca.crt"
        write_secret(self.file, self._certificate.public_bytes(Encoding.PEM), replace=True)

    def server(self, names: tuple[str, ...] = LOOPBACK_NAMES) -> Credentials:
        """Issue the broker's certificate for these host names and addresses."""
        return self._issue("broker", names[0], "server", list(names))

    def client(self, client_id: str) -> Credentials:
        """Issue a client's certificate, whose common name is `client_id`.

        Raises:
            NameRefusedError: If the id cannot be used in a topic, a certificate and a file name.
        """
        return self._issue(checked_name(client_id), client_id, "client", [])

    def _issue(self, stem: str, name: str, usage: str, addresses: list[str]) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = sign_device(
            self._key,
            self._certificate.subject,
            key.public_key(),
            name,
            usage,
            addresses,
            self._days,
        )
        issued = Credentials(
            authority=self.file,
            certificate=self._folder / f"{stem}.crt",
            key=self._folder / f"{stem}.key",
        )
        write_secret(issued.key, private_pem(key), replace=True)
        write_secret(issued.certificate, signed.public_bytes(Encoding.PEM), replace=True)
        return issued
