"""What a node's error answer means, in the words of Geth, Besu, Nethermind, Erigon and Anvil.

JSON-RPC standardises the envelope and not the errors: one code stands for several things (−32005
for a rate, a range and a count of results), and some providers send a word or null as the code. So
the text decides, and the code only where no text does.
"""

from __future__ import annotations

import re

from protoledger.contracts.errors import (
    ChainUnreachableError,
    NonceUsedError,
    PrunedHistoryError,
    RateLimitedError,
    ReplacementUnderpricedError,
    RevertedError,
    RpcError,
    UnderpricedError,
)

_REVERTED = 3  # the code of Geth for a reverted call
_CALLS = {"eth_call", "eth_estimateGas"}
_RATE = re.compile(
    r"rate.?limit|too many requests|request.{0,20}(rate|count|limit).{0,20}exceeded|"
    r"(requests|units).{0,20}per (second|minute|day)|throttl|slow down|capacity|quota|daily.*limit",
    re.IGNORECASE,
)
_PRUNED = re.compile(
    r"pruned|history.{0,30}(unavailable|not available|expired)|missing trie node|"
    r"(state|block|receipts?).{0,20}(is|are|has been)? ?not available|no state available|"
    r"header not found|old data not available|world state unavailable",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"already ?known|known transaction|already imported|already exists|"
    r"already in (the )?(pool|mempool)|existing tx with same hash",
    re.IGNORECASE,
)
_REPLACEMENT = re.compile(
    r"replac\w*.{0,30}(underpriced|not ?allowed|too low)|could not replace|underpriced replacement",
    re.IGNORECASE,
)
_UNDERPRICED = re.compile(
    r"underpriced|fee ?too ?low|(gas price|priority fee|tip).{0,40}(below|less|lower|too low)|"
    r"less than block base fee|below.{0,20}base ?fee",
    re.IGNORECASE,
)
_MINIMUM = re.compile(
    r"(?:minimum (?:needed|required)|tip needed)[^0-9]{0,20}(\d{1,30})", re.IGNORECASE
)
_NONCE_USED = re.compile(r"nonce.{0,10}too ?low|old ?nonce|nonce.{0,20}already used", re.IGNORECASE)
_LIMITS = {429, -32029, 420}
_LONGEST_WAIT_S = 300.0  # a node that asks for more is asked again all the same
_PRUNED_CODE = 4444


def is_known(text: str) -> bool:
    """Whether the node says that it has this very transaction.

    >>> is_known("already known"), is_known("AlreadyKnown"), is_known("nonce too low")
    (True, True, False)
    """
    return bool(_KNOWN.search(text))


def refusal(method: str, error: object) -> Exception:
    """Turn a JSON-RPC error into an exception to raise.

    Args:
        method: what was asked.
        error: the answer's `error`, as parsed, of any shape.

    >>> refusal("eth_getLogs", {"code": "429", "message": "slow down"})
    RateLimitedError('eth_getLogs: the node limits requests: slow down')
    >>> underpriced = "transaction underpriced: gas tip cap 1, minimum needed 25000000000"
    >>> refusal("eth_sendRawTransaction", {"code": -32000, "message": underpriced}).minimum_wei
    25000000000
    """
    if not isinstance(error, dict):
        return RpcError(method, 0, str(error)[:500])
    code, text = _code(error.get("code")), str(error.get("message", ""))[:500]
    data = error.get("data")
    if method in _CALLS and (code == _REVERTED or "revert" in text.lower()):
        return RevertedError("", (_reason(data, text),))
    if _RATE.search(text) or code in _LIMITS:
        return RateLimitedError(f"{method}: the node limits requests: {text}")
    if method == "eth_sendRawTransaction":
        return _of_a_transaction(method, code, text)
    if code == _PRUNED_CODE or _PRUNED.search(text):
        return PrunedHistoryError(method, code, text)
    return RpcError(method, code, text)


def refused_by_http(method: str, status: int, retry_after: str | None, body: bytes) -> Exception:
    """Turn an HTTP status that is no success into an exception to raise.

    Args:
        method: what was asked.
        status: of HTTP.
        retry_after: the header of this name, if it was there.
        body: the answer's beginning; providers explain themselves in it.
    """
    text = body[:200].decode(errors="replace")
    told = retry_after and re.fullmatch(r"\d{1,9}", retry_after)
    seconds = min(float(told[0]), _LONGEST_WAIT_S) if told else None
    if status == 429 or seconds is not None or _RATE.search(text):
        return RateLimitedError(f"{method}: the node limits requests: HTTP {status}", seconds)
    if status in {400, 413}:  # some refuse a range of blocks so
        return RpcError(method, status, text)
    return ChainUnreachableError(f"{method}: HTTP {status} instead of an answer")


def _of_a_transaction(method: str, code: int, text: str) -> Exception:
    if _REPLACEMENT.search(text):
        return ReplacementUnderpricedError(method, code, text)
    if _NONCE_USED.search(text):
        return NonceUsedError(method, code, text)
    if _UNDERPRICED.search(text):
        found = _MINIMUM.search(text)
        return UnderpricedError(method, code, text, int(found[1]) if found else 0)
    return RpcError(method, code, text)


def _code(value: object) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value) else 0


def _reason(data: object, text: str) -> object:
    """Give what a contract said as bytes, or what the node said of it."""
    if isinstance(data, dict):  # Erigon and some providers nest it
        data = data.get("data")
    if isinstance(data, str) and re.fullmatch(r"0x([0-9a-fA-F]{2})*", data):
        return bytes.fromhex(data[2:])
    return text
