"""The protocol's errors: one base, and every class is also a builtin.

None of them is fatal to a process that listens: a message that raises one is dropped and named.
`ConfigurationError` is raised before anything is started.
"""


class ProtocolError(Exception):
    """The base of all errors of this package."""


class ConfigurationError(ProtocolError, ValueError):
    """Parameters that cannot work together; the message names the knobs.

    Args:
        problems: everything that is wrong, one text each.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DecodeError(ProtocolError, ValueError):
    """Bytes from outside that are not what they should be; drop them."""


class AuthenticationError(ProtocolError, ValueError):
    """A signature or a seal that does not hold; drop the message and name its sender."""


class RefusedError(ProtocolError, RuntimeError):
    """A well-formed message that the protocol does not allow now; drop it.

    Args:
        expected: what would have been accepted.
        found: what came.
    """

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class LateError(ProtocolError, TimeoutError):
    """A message of a round that is over: normal, as a quorum does not wait for the slowest."""


class FloodError(ProtocolError, RuntimeError):
    """More messages than a sender may send; dropped before they cost anything.

    Args:
        text: what happened.
        sender: who it was.
    """

    def __init__(self, text: str, sender: str) -> None:
        super().__init__(text)
        self.sender = sender


class EquivocationError(ProtocolError, ValueError):
    """The gateway said two things that cannot both be: evidence that anyone can check.

    Args:
        text: what happened.
        evidence: the two signed messages.
    """

    def __init__(self, text: str, evidence: tuple[bytes, bytes]) -> None:
        super().__init__(text)
        self.evidence = evidence


class QuorumError(ProtocolError, RuntimeError):
    """Too few agents answered: the round is lost, the next one may work."""
