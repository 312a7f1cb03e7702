"""One node of the chain through web3, every answer checked.

Importing this module is cheap; `Node` imports web3 when it is made, which takes 1.5–3 s and 60 MB,
so make it in the thread that uses it.

A trap: eth_account, which web3 loads, raises Python's recursion limit to 100,000 (py_ecc does, for
pairings that nobody here computes). The JSON parser counts by that limit, and 100,000 opening
brackets would then end the process; `import_web3` puts the limit back.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from protoledger.contracts.client.answers import (
    Block,
    Log,
    Receipt,
    block_of,
    log_of,
    octets,
    receipt_of,
    whole,
)
from protoledger.contracts.client.refusals import is_known
from protoledger.contracts.errors import (
    ContractsError,
    NonsenseError,
    RateLimitedError,
    RpcError,
)
from protoledger.contracts.node_address import shown
from protoledger.contracts.recursion import limit_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from web3 import Web3
    from web3.types import BlockIdentifier, FilterParams, TxParams

_SLOWEST_S = 4.0  # between requests, of a node that limits them
_FIRST_GAP_S = 0.1
# A gap that grows and shrinks so settles where one request of five is refused: a node that refuses
# that many for reasons of its own does not slow this client down to a crawl.
_SLOWER, _FASTER = 1.5, 0.9


def import_web3() -> type[Web3]:
    """Import web3 without the recursion limit that it would leave behind."""
    with limit_kept():
        from web3 import Web3  # noqa: PLC0415 - see the module's docstring
    return Web3


class Node:
    """A connection to a node, owned by one thread.

    Args:
        url: http:// or https://.
        timeout_s: longest wait for an answer.
        first_byte_s: longest wait for its first byte, but for events, which take a node longer.
        retries: how often a request that failed is sent again before it counts as failed; for
            commands, which have nothing better to do. Transactions are sent once.
        sleep: waits between requests of a node that limits them.

    Attributes:
        url: its address as it may be shown.
        w3: web3, for what is not here; its answers are not checked.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = 10.0,
        *,
        first_byte_s: float | None = None,
        retries: int = 0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        web3 = import_web3()
        from protoledger.contracts.client.provider import CheckedProvider  # noqa: PLC0415

        self._provider = CheckedProvider(url, timeout_s, first_byte_s or timeout_s, retries)
        # No middleware: it checks what is checked here, and costs several times the request.
        self.w3 = web3(self._provider, middleware=[])
        self.url = shown(url)
        self._sleep, self._gap_s, self._next_at = sleep, 0.0, 0.0

    # -- blocks and logs -------------------------------------------------------------------------

    def chain_id(self) -> int:
        """Give the chain's id."""
        with self._asking("eth_chainId"):
            return whole(self.w3.eth.chain_id, "the chain's id")

    def syncing(self) -> bool:
        """Whether the node says that it is behind its chain."""
        with self._asking("eth_syncing"):
            return self.w3.eth.syncing is not False

    def block(self, number: int | str) -> Block | None:
        """Fetch a block's header, by number or tag; None if there is none (yet).

        Raises:
            NonsenseError: it is no header, or of another number.
        """
        from web3.exceptions import BlockNotFound  # noqa: PLC0415

        with self._asking("eth_getBlockByNumber"):
            try:
                wanted: BlockIdentifier = number  # type: ignore[assignment]
                found = block_of(self.w3.eth.get_block(wanted))
            except BlockNotFound:
                return None
        if isinstance(number, int) and found.number != number:
            raise NonsenseError(f"the node answers nonsense: block {found.number} for {number}")
        return found

    def logs(
        self, address: str, first: int, last: int, *topics: Sequence[bytes] | None
    ) -> list[Log]:
        """Fetch events of a contract in the blocks first … last, in order, by one request.

        Args:
            address: the contract, in lower case.
            first: first block.
            last: last block.
            topics: for each place, the topics of which one must stand there; None: any.
        """
        from eth_typing import BlockNumber  # noqa: PLC0415 - web3 has loaded it

        wanted: FilterParams = {
            "address": checksum_of(address),
            "fromBlock": BlockNumber(first),
            "toBlock": BlockNumber(last),
        }
        if topics:
            wanted["topics"] = [
                None if each is None else ["0x" + topic.hex() for topic in each] for each in topics
            ]
        with self._asking("eth_getLogs"):
            found = self.w3.eth.get_logs(wanted)
            if not isinstance(found, list | tuple):
                raise NonsenseError(f"the node answers nonsense: logs are {str(found)[:80]!r}")
            logs = [log_of(entry, address, first, last) for entry in found]
        return sorted(logs, key=lambda log: (log.block, log.index))

    # -- accounts and contracts ------------------------------------------------------------------

    def call(
        self, to: str, data: bytes, sender: str | None = None, *, at: int | str = "latest"
    ) -> bytes:
        """Run a call without a transaction, on the state of a block."""
        with self._asking("eth_call"):
            message = _message(to, data, sender)
            return octets(self.w3.eth.call(message, at), "a call's result")  # type: ignore[arg-type]

    def estimate_gas(
        self, sender: str, to: str, data: bytes, *, at: str = "latest", value: int = 0
    ) -> int:
        """Run a transaction without sending it, and give the gas that it needs.

        Args:
            sender: the account that would send it.
            to: the contract.
            data: the call.
            at: the block whose state and clock it sees. `pending` where the clock matters: a node
                that makes blocks only for transactions has a newest block of any age.
            value: wei to send.
        """
        with self._asking("eth_estimateGas"):
            from web3.types import Wei  # noqa: PLC0415 - not needed to import this module

            message = _message(to, data, sender)
            if value:
                message["value"] = Wei(value)
            return whole(self.w3.eth.estimate_gas(message, at), "gas")  # type: ignore[arg-type]

    def tip(self) -> int:
        """Ask which tip the node suggests, in wei per gas; 0 if it does not know the question."""
        try:
            with self._asking("eth_maxPriorityFeePerGas"):
                return whole(self.request("eth_maxPriorityFeePerGas"), "the tip")
        except RpcError:
            return 0

    def nonce(self, account: str) -> int:
        """Give the number of an account's mined transactions."""
        with self._asking("eth_getTransactionCount"):
            found = self.w3.eth.get_transaction_count(checksum_of(account), "latest")
            return whole(found, "a nonce")

    def balance(self, account: str) -> int:
        """Give an account's money, in wei."""
        with self._asking("eth_getBalance"):
            return whole(self.w3.eth.get_balance(checksum_of(account), "latest"), "a balance")

    def code(self, address: str, *, at: int | str = "latest") -> bytes:
        """Give a contract's code; empty if there is none."""
        with self._asking("eth_getCode"):
            found = self.w3.eth.get_code(checksum_of(address), at)  # type: ignore[arg-type]
            return octets(found, "code")

    # -- transactions ----------------------------------------------------------------------------

    def send(self, raw: bytes) -> None:
        """Hand a signed transaction over; one that the node knows already is no error.

        Raises:
            UnderpricedError, ReplacementUnderpricedError, NonceUsedError: it was not taken.
            RpcError, ChainUnreachableError: it may have been taken all the same.
        """
        try:
            with self._asking("eth_sendRawTransaction"):
                self.w3.eth.send_raw_transaction(raw)
        except RpcError as error:
            if not is_known(error.text):
                raise

    def receipt(self, transaction: str) -> Receipt | None:
        """Tell what became of a transaction; None if the node knows no block with it (any more)."""
        from web3.exceptions import TransactionNotFound  # noqa: PLC0415

        try:
            with self._asking("eth_getTransactionReceipt"):
                raw = self.w3.eth.get_transaction_receipt(transaction)  # type: ignore[arg-type]
                return receipt_of(raw, transaction)
        except TransactionNotFound:
            return None
        except RpcError as error:
            if "indexing" in error.text:  # Geth, when it has just started or mined
                return None
            raise

    def request(self, method: str, *params: object) -> Any:
        """Ask what has no method here, unchecked; numbers come as numbers where they are hex."""
        with self._asking(method):
            found = self._provider.make_request(method, list(params))["result"]  # type: ignore[arg-type]
        plain = isinstance(found, str) and found.startswith("0x") and len(found) <= 66
        return int(found, 16) if plain and method in _NUMBERS else found

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._provider.close()

    # -- the boundary ----------------------------------------------------------------------------

    @contextmanager
    def _asking(self, method: str) -> Iterator[None]:
        """Keep the pace that the node bears, and turn every surprise into `NonsenseError`."""
        from web3.exceptions import BlockNotFound, TransactionNotFound  # noqa: PLC0415

        if (wait_s := self._next_at - time.monotonic()) > 0:
            self._sleep(min(wait_s, _SLOWEST_S))
        try:
            yield
        except RateLimitedError:
            self._gap_s = min(max(_SLOWER * self._gap_s, _FIRST_GAP_S), _SLOWEST_S)
            raise
        except (ContractsError, BlockNotFound, TransactionNotFound):
            self._gap_s *= _FASTER if self._gap_s > 0.01 else 0.0
            raise
        except Exception as error:  # web3 and its parsers raise what they like for odd answers
            raise NonsenseError(
                f"{self.url} answers {method} with nonsense: {type(error).__name__}: "
                f"{str(error)[:200]}"
            ) from error
        else:
            self._gap_s *= _FASTER if self._gap_s > 0.01 else 0.0
        finally:
            self._next_at = time.monotonic() + self._gap_s


_NUMBERS = {"eth_maxPriorityFeePerGas"}


def checksum_of(address: str) -> Any:
    """Write an address as web3 wants it."""
    from protoledger.contracts.client.account import checksum  # noqa: PLC0415

    return checksum(address)


def _message(to: str, data: bytes, sender: str | None) -> TxParams:
    message: TxParams = {"to": checksum_of(to), "data": data}
    if sender is not None:
        message["from"] = checksum_of(sender)
    return message
