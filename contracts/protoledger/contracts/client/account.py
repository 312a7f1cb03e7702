"""An account that signs transactions, and addresses as they are written and derived.

eth_account, a part of web3, is imported when an `Account` is made.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from protoledger.contracts.recursion import limit_kept


class Account:
    """A key that signs transactions; it prints its address only.

    Args:
        key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        with limit_kept():
            from eth_account import Account as EthAccount  # noqa: PLC0415 - see the docstring

        self._account = EthAccount.from_key(key)
        self.address = str(self._account.address).lower()

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def sign(
        self,
        chain_id: int,
        nonce: int,
        to: str | None,
        data: bytes,
        *,
        gas: int,
        max_fee: int,
        tip: int,
        value: int = 0,
    ) -> tuple[bytes, str]:
        """Sign a transaction.

        Args:
            chain_id: the chain that it is for.
            nonce: the account's next number.
            to: receiver; None creates a contract.
            data: encoded call or creation code.
            gas: limit.
            max_fee: most wei per gas.
            tip: wei per gas for the block's proposer, at most `max_fee`.
            value: wei to send.

        Returns:
            The raw transaction and its hash.
        """
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": chain_id,
                "nonce": nonce,
                "data": data,
                "gas": gas,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": min(tip, max_fee),
                "value": value,
                **({"to": checksum(to)} if to else {}),
            },
        )
        return bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex()


def checksum(address: str) -> str:
    """Write an address with EIP-55's capitals, as eth_account wants it.

    >>> checksum("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'
    """
    plain = address.lower().removeprefix("0x")
    nibbles = keccak(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter
        for letter, nibble in zip(plain, nibbles, strict=False)
    )


def created_address(sender: str, nonce: int) -> str:
    """Tell where a contract will stand that `sender` creates with transaction `nonce` (< 2⁵⁵).

    >>> created_address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 1)
    '0x343c43a37d37dff08ae8c4a11544c718abb4fcf8'
    """
    account = bytes.fromhex(sender.removeprefix("0x"))
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    tail = number if len(number) == 1 and nonce < 0x80 else bytes([0x80 + len(number)]) + number
    body = bytes([0x80 + 20]) + account + tail
    return "0x" + keccak(bytes([0xC0 + len(body)]) + body)[12:].hex()
