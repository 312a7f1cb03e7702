"""What drivers ask of a home's network, and a message that came from a broker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HomeBroker:
    """A broker and how to log in; equal addresses share a connection.

    Attributes:
        host: name or address.
        port: TCP port.
        tls: encrypted, and the broker's certificate is checked.
        ca_file: authorities that may have signed it; by default those of the system.
        cert_file: the client's certificate, if the broker asks for one.
        key_file: its private key.
        username: for a broker that asks for one.
        password_file: file with the password; only its first line counts.
    """

    host: str
    port: int
    tls: bool = True
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password_file: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was received.

    Attributes:
        payload: None if it was longer than the connection accepts.
        received_s: monotonic time.
        retained: the broker had stored it before; its age is unknown.
    """

    payload: bytes | None
    received_s: float
    retained: bool


@dataclass(frozen=True)
class Request:
    """A document that is fetched; equal requests share the answer.

    Attributes:
        url: http or https.
        token_file: file whose first line is sent as a bearer token.
        ca_file: authorities of the server's certificate; by default those of the system.
        timeout_s: for the whole answer.
        fresh_s: an answer of this age is used again.
    """

    url: str
    token_file: str | None = None
    ca_file: str | None = None
    timeout_s: float = 5.0
    fresh_s: float = 1.0
