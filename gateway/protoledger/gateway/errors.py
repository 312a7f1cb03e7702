"""What can go wrong in a gateway; one base, each class also the builtin that it resembles."""


class GatewayError(Exception):
    """Base of all errors of a gateway."""


class CodebookError(GatewayError, ValueError):
    """Bytes or prototypes that are no codebook; what is held already stays as it was."""


class LedgerError(GatewayError, RuntimeError):
    """The ledger client was used wrongly, or its database is not its own."""


class LedgerMismatchError(LedgerError):
    """The chain or contract is not the one of the configuration: permanent, exit code 78."""


class StoreUnavailableError(GatewayError, OSError):
    """The store cannot be opened now: a full or read-only card, or a lock of another process."""


class SampleError(GatewayError, ValueError):
    """A sample cannot be learnt from or predicted; the model is as it was before."""


class ModelStateError(GatewayError, ValueError):
    """A saved model cannot be restored: damaged, of another version, or of another shape."""


class LearnerUnavailableError(GatewayError, ValueError):
    """No learner that is installed has this name, or it cannot be imported."""


class KernelError(GatewayError, RuntimeError):
    """Compiled kernels cannot be had; learning goes on in numpy, with the same results."""


class PrototypeLimitError(GatewayError, OverflowError):
    """More prototypes than sixteen bits can name; the model is as it was before."""
