"""What can go wrong between Python and the contracts; one base, each class also a builtin."""


class ContractsError(Exception):
    """Base of all errors of this package."""


class ToolMissingError(ContractsError, FileNotFoundError):
    """npm has not installed a tool for this machine; `npm ci` mends it where a package exists."""


class KeyFileError(ContractsError, ValueError):
    """A key file that is missing, readable by others, or holds no key: permanent."""


class NoContractError(ContractsError, LookupError):
    """There is no code at an address: another chain, or a wrong address."""


class ChainUnreachableError(ContractsError, ConnectionError):
    """The node did not answer: transient, try again."""


class RpcError(ContractsError, RuntimeError):
    """The node answered with an error.

    Attributes:
        code: JSON-RPC's error code.
        text: what the node said.
    """

    def __init__(self, method: str, code: int, text: str) -> None:
        super().__init__(f"{method}: the node answered {code}: {text}")
        self.code = code
        self.text = text


class RevertedError(ContractsError, RuntimeError):
    """A contract refused a call.

    Attributes:
        name: the custom error's name, such as `PrototypeBufferStaleVersion`; `Error` or `Panic` for
            Solidity's own; empty if the data is of no known error.
        values: what it carries.
    """

    def __init__(self, name: str, values: tuple[object, ...]) -> None:
        carried = ", ".join(str(value) for value in values)
        super().__init__(f"{name or 'an unknown error'}({carried})")
        self.name = name
        self.values = values


class DeploymentError(ContractsError, RuntimeError):
    """The contracts did not come to stand on the chain."""
