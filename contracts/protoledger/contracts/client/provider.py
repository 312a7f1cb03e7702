"""web3's HTTP provider with a bounded answer, a bounded wait, and errors by their meaning.

It raises for a JSON-RPC error before web3 looks at it: web3 refuses error codes that are no number
as malformed, and what they say (most often: too many requests) would be lost.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import requests
from web3 import HTTPProvider
from web3.providers.rpc.utils import ExceptionRetryConfiguration

from protoledger.contracts.bounded_http import bounded_session
from protoledger.contracts.client.refusals import refusal, refused_by_http
from protoledger.contracts.errors import (
    ChainUnreachableError,
    ContractsError,
    NonsenseError,
    RateLimitedError,
    RpcError,
)
from protoledger.contracts.node_address import shown

if TYPE_CHECKING:
    from web3.types import RPCEndpoint, RPCResponse

# Parsed JSON takes up to twenty times its bytes, and a Pi has a gigabyte. A block full of the
# longest commits has 3 MB of events.
_MOST_BYTES, _MOST_BYTES_OF_EVENTS = 1 << 22, 1 << 23
_CHUNK = 1 << 16
_TOO_LARGE = 413  # HTTP's code of the same meaning
_LONGEST_RETRY_S = 30.0  # a command waits so long at most, whatever the node asks for


class CheckedProvider(HTTPProvider):
    """JSON-RPC over HTTP, for one thread.

    Args:
        url: the node.
        timeout_s: for a whole request.
        first_byte_s: for the first byte of an answer, but for events.
        retries: see `Node`.
    """

    def __init__(self, url: str, timeout_s: float, first_byte_s: float, retries: int) -> None:
        self._session = bounded_session(timeout_s)
        self._shown = shown(url)
        self._timeout_s, self._first_byte_s = timeout_s, first_byte_s
        patience = ExceptionRetryConfiguration(
            errors=(ChainUnreachableError,), retries=retries + 1, backoff_factor=0.25
        )
        super().__init__(
            url,
            session=self._session,
            exception_retry_configuration=patience if retries else None,
        )

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask, and give the answer only if it is a result.

        Raises:
            ChainUnreachableError: no answer; `NonsenseError`: none that is JSON-RPC;
                `RateLimitedError`: asked too often.
            RpcError: the node answered with an error.
            RevertedError: a contract refused a call; `values` holds its data as bytes, or text.
        """
        try:
            answer: Any = super().make_request(method, params)
        except ContractsError:
            raise
        except (ValueError, RecursionError, TypeError) as error:
            raise NonsenseError(
                f"{self._shown} answers {method} with no JSON: {str(error)[:100]}"
            ) from error
        if not isinstance(answer, dict):
            raise NonsenseError(f"{self._shown} answers {method} with no JSON-RPC")
        if answer.get("error") is not None:
            raise refusal(method, answer["error"])
        if "result" not in answer:
            raise NonsenseError(f"{self._shown} answers {method} with no result")
        found = answer["result"]
        if method == "eth_getBlockByNumber" and isinstance(found, dict):
            # Proof of authority (Clique, Polygon, BSC) keeps its signatures there, and web3 takes
            # no more than 32 bytes; nobody here reads them.
            found = {key: value for key, value in found.items() if key != "extraData"}
        return {"jsonrpc": "2.0", "id": 1, "result": found}

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        patience = self._exception_retry_configuration
        tries = 1
        if isinstance(patience, ExceptionRetryConfiguration):
            allowed = method in patience.method_allowlist
            tries = patience.retries if allowed else 1
        for left in range(tries - 1, -1, -1):
            try:
                return self._post(method, request_data)
            except ChainUnreachableError as error:
                if not left:
                    raise
                told_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
                time.sleep(min(told_s or 0.25 * 2 ** (tries - 1 - left), _LONGEST_RETRY_S))
        raise AssertionError("unreachable")

    def _post(self, method: str, request_data: bytes) -> bytes:
        events = method == "eth_getLogs"
        first_s = self._timeout_s if events else self._first_byte_s
        most = _MOST_BYTES_OF_EVENTS if events else _MOST_BYTES
        try:
            with self._session.post(
                str(self.endpoint_uri),
                data=request_data,
                headers=self.get_request_headers(),
                timeout=first_s,
                stream=True,
            ) as answer:
                body = bytearray()
                for chunk in answer.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > most:
                        raise _endless(method, most, events=events)
                status, after = answer.status_code, answer.headers.get("retry-after")
        except (requests.RequestException, OSError) as error:
            if isinstance(error, ContractsError):
                raise
            raise ChainUnreachableError(
                f"{self._shown} does not answer {method}: {_innermost(error)}; does the node "
                "run, and is that its address?"
            ) from error
        if status != requests.codes.ok and not _is_json_rpc(bytes(body)):
            raise refused_by_http(method, status, after, bytes(body))
        if status in {429, 503}:
            raise refused_by_http(method, status, after, bytes(body))
        return bytes(body)


def _endless(method: str, most: int, *, events: bool) -> ContractsError:
    """Say that an answer is too long; of events it is as if the node had refused the range."""
    reason = f"the answer has more than {most} bytes"
    if events:
        return RpcError(method, _TOO_LARGE, reason)
    return NonsenseError(f"the node answers nonsense: {method}: {reason}")


def _is_json_rpc(body: bytes) -> bool:
    """Whether an answer with an error's status explains itself, as some nodes do."""
    return body.lstrip().startswith(b"{") and b'"error"' in body


def _innermost(error: BaseException) -> str:
    """Say what lies under an error that others were made of: the system's own reason."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return f"{error}" or type(error).__name__
