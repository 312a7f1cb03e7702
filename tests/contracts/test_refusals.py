"""What nodes say to a transaction, in the words of five clients, and what is understood.

The words are those of Geth 1.13 to 1.16, Besu, Nethermind, Erigon and Anvil.
"""

import pytest

from protoledger.contracts.client.refusals import is_known, refusal
from protoledger.contracts.errors import (
    NonceUsedError,
    ReplacementUnderpricedError,
    RpcError,
    UnderpricedError,
)

KNOWN = [
    "already known",  # Geth
    "known transaction: 5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060",
    "Known transaction",  # Besu
    "AlreadyKnown",  # Nethermind
    "ALREADY_EXISTS: already known",  # Erigon
    "INTERNAL_ERROR: existing tx with same hash",
    "transaction already imported",  # Anvil
]
REPLACEMENTS = [
    "replacement transaction underpriced",  # Geth, Anvil
    "replacement transaction underpriced: new tx gas fee cap 5 < 6 queued",
    "Replacement transaction underpriced",  # Besu
    "ReplacementNotAllowed",  # Nethermind
    "ReplacementNotAllowed, existing tx has MaxFeePerGas: 9, incoming tx has MaxFeePerGas: 8",
    "INTERNAL_ERROR: could not replace existing tx",  # Erigon
]
UNDERPRICED = {
    "transaction underpriced": 0,  # Geth, Erigon
    "transaction underpriced: gas tip cap 1, minimum needed 25000000000": 25 * 10**9,
    "transaction underpriced: tip needed 25000000000, tip permitted 1000000000": 25 * 10**9,
    "transaction gas price below minimum: gas tip cap 1, minimum needed 2": 2,
    "max fee per gas less than block base fee: address 0x7099…, maxFeePerGas: 1, baseFee: 7": 0,
    "Gas price below configured minimum gas price": 0,  # Besu
    "Gas price below current base fee": 0,
    "FeeTooLow": 0,  # Nethermind
    "FeeTooLow, EffectivePriorityFeePerGas too low 1 < 7, BaseFee: 9": 0,
    "FeeTooLowToCompete": 0,
    "INTERNAL_ERROR: fee too low": 0,  # Erigon
    "FEE_TOO_LOW: underpriced": 0,
    "max fee per gas less than block base fee": 0,  # Anvil
}
USED = [
    "nonce too low",  # Geth, Anvil
    "nonce too low: next nonce 5, tx nonce 4",
    "nonce too low: address 0x7099…, current nonce (5) > tx nonce (4)",  # Avalanche
    "Nonce too low",  # Besu
    "OldNonce, Current nonce: 5, nonce of rejected tx: 4",  # Nethermind
    "INTERNAL_ERROR: nonce too low",  # Erigon
]


def said(text: str) -> Exception:
    return refusal("eth_sendRawTransaction", {"code": -32000, "message": text})


@pytest.mark.parametrize("text", KNOWN)
def test_a_transaction_that_the_node_has_is_no_refusal(text: str) -> None:
    assert is_known(text)


@pytest.mark.parametrize("text", REPLACEMENTS)
def test_a_replacement_that_offers_too_little_is_told_from_a_tip_that_does(text: str) -> None:
    assert isinstance(said(text), ReplacementUnderpricedError)
    assert not is_known(text)


@pytest.mark.parametrize("text", UNDERPRICED)
def test_a_tip_that_is_too_low_names_the_least_one_if_the_node_does(text: str) -> None:
    error = said(text)
    assert isinstance(error, UnderpricedError)
    assert error.minimum_wei == UNDERPRICED[text]
    assert not is_known(text)


@pytest.mark.parametrize("text", USED)
def test_a_number_that_was_used_is_told_from_all_others(text: str) -> None:
    assert isinstance(said(text), NonceUsedError)
    assert not is_known(text)


@pytest.mark.parametrize("text", ["txpool is full", "intrinsic gas too low", "invalid sender"])
def test_everything_else_is_what_the_node_said(text: str) -> None:
    assert type(said(text)) is RpcError
    assert not is_known(text)
