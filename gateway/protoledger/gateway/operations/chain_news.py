"""What a gateway says about its chain: nodes, contract and other owners."""

import logging

from protoledger.gateway.ledger.events import (
    LedgerAvailable,
    LedgerFailed,
    LedgerUnavailable,
    NodeDisagrees,
    OwnerLied,
    SuccessorNamed,
)
from protoledger.gateway.operations.events import EventStream
from protoledger.gateway.operations.health import Health

log = logging.getLogger(__name__)

ChainNews = (
    LedgerUnavailable | LedgerFailed | LedgerAvailable | NodeDisagrees | OwnerLied | SuccessorNamed
)


def tell(news: ChainNews, health: Health, events: EventStream) -> None:
    """Say it in the log, the gateway's status and its events."""
    match news:
        case LedgerUnavailable(reason=reason):
            log.warning("the chain does not answer: %s", reason)
            health.change(chain="does not answer")
            events.write("unavailable", reason=reason)
        case LedgerFailed(reason=reason):
            log.error("rounds and learning go on, without the chain: %s", reason)
            health.change(chain="is not this gateway's, or its key is not: see the log")
            events.write("ledger_failed", reason=reason)
        case NodeDisagrees(url=url, reason=reason):
            log.error("the node %s contradicts the others: %s", url, reason)
            events.write("disagrees", node=url, reason=reason)
        case OwnerLied(owner=owner, version=version, evidence=evidence):
            log.error("%s lied in version %d: %s", owner, version, evidence)
            events.write("lied", owner=owner, version=version, evidence=evidence)
        case SuccessorNamed(address=address, followed=followed):
            log.warning(
                "the contract's owner names a successor, %s: %s",
                address,
                "going on there" if followed else "it is for other channels or labels",
            )
            events.write("successor", address=address, followed=followed)
        case LedgerAvailable():
            log.info("the chain answers")
            health.change(chain="answers")
            events.write("chain")
