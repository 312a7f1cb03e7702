"""The `ledger:` part of a gateway's file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated, Self

from pydantic import Field, model_validator

from protoledger.runtime.site import Model

_Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


_NodeUrl = Annotated[str, Field(pattern=r"^https?://")]


class LedgerConfig(Model):
    """Which chain and contract, with which key, and how eagerly."""

    # A rented node's address holds its key: none of the three is shown.
    rpc_url: _NodeUrl = Field(repr=False, description="The node's JSON-RPC address.")
    rpc_urls: tuple[_NodeUrl, ...] = Field(
        default=(),
        repr=False,
        max_length=15,
        description="More nodes of the same chain, in the order of preference: they are asked when "
        "the first one fails, and compared with it.",
    )
    ws_url: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^wss?://",
        description="A node's WebSocket: a hint to look at once, and never more than that. With "
        "it an idle gateway asks its node once in five seconds.",
    )
    chain_id: int = Field(gt=0, description="The chain's id; another one is refused.")
    contract: _Address = Field(description="PrototypeBuffer's address.")
    key_file: Path = Field(
        description="The gateway's key: 64 hex digits or an encrypted keystore; mode 0600.",
    )
    key_password_file: Path | None = Field(
        default=None, description="The keystore's password; mode 0600."
    )
    genesis_hash: str | None = Field(
        default=None,
        pattern=r"^0x[0-9a-f]{64}$",
        description="Hash of block 0; without it the first one seen is kept.",
    )
    confirmations: int = Field(
        default=0, ge=0, le=1000, description="Blocks on top of one that is believed."
    )
    finalized: bool = Field(
        default=False,
        description="Believe only what the chain calls final, instead of `confirmations`.",
    )
    contradiction_s: float = Field(
        default=30.0,
        ge=0,
        description="A chain or contract that contradicts this file ends the gateway after so many "
        "seconds, if its node says that it is not syncing.",
    )
    poll_s: float = Field(
        default=0.2,
        gt=0,
        le=3600,
        description="Seconds between looks at the newest block; 15 or more for a rented node "
        "that counts requests.",
    )
    tip_gwei: float | None = Field(
        default=None,
        ge=0,
        description="Tip per gas, in gwei; without it what the node suggests. More is offered "
        "where the chain's nodes refuse it.",
    )
    learn_from_oracle: bool = Field(
        default=True, description="Learn from the labelled samples of the contract's oracle."
    )
    max_fee_gwei: float = Field(
        default=500.0,
        gt=0,
        description="Most to offer per gas, in gwei; a commit waits while the chain asks for more.",
    )
    stuck_s: float = Field(
        default=30.0,
        gt=0,
        description="A commit that is not mined for so long is offered again for an eighth more.",
    )
    deadline_s: float = Field(
        default=600.0,
        gt=0,
        description="A commit that is not mined for so long is given up for the newest codebook.",
    )
    tolerance: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="A prototype whose features all moved by at most this share of the range is "
        "not committed again; from 0.002 on features are written in one byte instead of two.",
    )
    weight_ratio: float = Field(
        default=2.0,
        ge=1,
        description="A prototype is not committed again for a weight that changed by at most "
        "this factor.",
    )
    records_per_commit: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="A commit writes at most so many prototypes, those that changed most; the "
        "others wait for the next one. Default: 24, or 48 with more than 12 features; 128 where a "
        "gateway that is quiet or stops commits what it owes.",
    )
    least_records: int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="A commit waits until it would write so many prototypes, or half of the "
        "codebook if that is less: a commit has fixed costs. For `commit.test: always`; where a "
        "test decides what is worth a commit, leave it at 1.",
    )

    @model_validator(mode="after")
    def _one_finality(self) -> Self:
        if self.finalized and self.confirmations:
            raise ValueError("`finalized` takes the place of `confirmations`: remove one of them")
        if len({self.rpc_url, *self.rpc_urls}) != 1 + len(self.rpc_urls):
            raise ValueError("`rpc_url` and `rpc_urls` name a node twice")
        return self

    @property
    def believed_after(self) -> str:
        """The setting that says which block is believed, for messages."""
        return "`finalized`" if self.finalized else f"`confirmations: {self.confirmations}`"

    @property
    def omissions(self) -> dict[str, float]:
        """What a commit leaves out, as `Codebook.delta_to` takes it."""
        return {"tolerance": self.tolerance, "weight_ratio": self.weight_ratio}


OWED_RECORDS = 128
"""Of a commit that no test asks for: what is owed goes in one transaction, not in five."""


def default_records(features: int) -> int:
    """Give how many prototypes a commit writes unless configured; as measured in docs/chain.md."""
    return 24 if features <= 12 else 48
