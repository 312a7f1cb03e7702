"""What the ledger client reports to a gateway: immutable values, handed to one callback.

They come from the client's thread; the callback only enqueues them. `CodebookChanged` and
`CodebookDropped` are about what everybody can see on the chain, the rest about this gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protoledger.gateway.codebook.codebook import Codebook


@dataclass(frozen=True, slots=True)
class CodebookChanged:
    """An owner's newest codebook, checked against its state hash.

    Versions between the last one reported and this one may have been passed over. After a reorg the
    version may be lower than before.

    Attributes:
        owner: address, 0x-hex in lower case.
        version: commits of this owner so far, from 1.
        codebook: the codebook as reconstructed from the chain.
        own: it is this gateway's.
    """

    owner: str
    version: int
    codebook: Codebook
    own: bool


@dataclass(frozen=True, slots=True)
class CodebookDropped:
    """An owner's codebook no longer counts: removed, lost in a reorg, or not believed."""

    owner: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnerLied:
    """What an owner committed cannot be believed; it is ignored from there.

    Most often its delta does not lead to the hash that it claims; or the node has dropped the
    events that would tell.

    Attributes:
        owner: address.
        version: the first version that does not fit.
        evidence: what does not.
    """

    owner: str
    version: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit of this gateway stands on the chain.

    Attributes:
        version: what it became.
        gas_used: of its transaction.
        tx_hash: 0x-hex.
        records: entries of its delta.
        payload_bytes: bytes of its delta.
        note: what `submit` was given.
    """

    version: int
    gas_used: int
    tx_hash: str
    records: int
    payload_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class CommitRejected:
    """The contract or node refused a commit.

    Attributes:
        reason: which refusal.
        permanent: the codebook was given up; else it is tried again later, or a newer one is.
    """

    reason: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class SamplesArrived:
    """Labelled samples that the oracle's reporters signed; to be learnt from, once.

    Attributes:
        round: of the oracle; a commit that was learnt from it names it.
        source: who aggregated them.
        rows: the samples as records: class and features count.
    """

    round: int
    source: str
    rows: Codebook


@dataclass(frozen=True, slots=True)
class SamplesRefused:
    """A batch of the oracle that is not of the contract's format; reported once."""

    round: int
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class LedgerUnavailable:
    """No node can be used now; reported once, commits wait until `LedgerAvailable`."""

    reason: str


@dataclass(frozen=True, slots=True)
class LedgerAvailable:
    """The node answers (again), and it is the right chain and contract."""


@dataclass(frozen=True, slots=True)
class NodeDisagrees:
    """One of several nodes contradicts the others about a block; it is passed over for a while.

    Attributes:
        url: its address.
        reason: the block, and both hashes.
    """

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class SuccessorNamed:
    """The contract's owner has named a deployment that takes this one's place.

    Attributes:
        address: the successor.
        followed: whether this gateway goes on there. If not, the successor is for other channels
            or labels: update the site file, and start again.
    """

    address: str
    followed: bool


@dataclass(frozen=True, slots=True)
class LedgerFailed:
    """Nothing can be committed or taken over: a wrong chain, contract or key, or a defect.

    Reported once for each reason. A chain or contract is looked at again from time to time, and
    `LedgerAvailable` says that it is the right one; anything else stays until the next start.

    Attributes:
        reason: what is wrong, and the command that fixes it.
    """

    reason: str


LedgerEvent = (
    CodebookChanged
    | CodebookDropped
    | OwnerLied
    | Committed
    | CommitRejected
    | SamplesArrived
    | SamplesRefused
    | LedgerUnavailable
    | LedgerAvailable
    | NodeDisagrees
    | SuccessorNamed
    | LedgerFailed
)
