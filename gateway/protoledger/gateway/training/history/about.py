"""What a page must know of a gateway that does not change while it runs."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from cryptography import x509

from protoledger.contracts.errors import KeyFileError
from protoledger.contracts.keys import address_of, load_key
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.training.history.recorder import Recorder
from protoledger.gateway.training.trainer import Trainer
from protoledger.protocol.wire.identity import Roster
from protoledger.runtime.site import SiteConfig


def start_history(
    config: GatewayConfig, site: SiteConfig, roster: Roster, trainer: Trainer
) -> Recorder:
    """Begin to keep a gateway's history, if its file does not say not to."""
    return Recorder(config, about(config, site, roster), trainer)


def about(config: GatewayConfig, site: SiteConfig, roster: Roster) -> dict[str, object]:
    """Describe a gateway for a page: no secret, and of a node's address only the host."""
    return {
        "site": site.site,
        "gateway": config.id,
        "learner": config.learner.mode,
        "test": config.commit.test,
        "labels": list(site.labels),
        "channels": [
            {
                "name": channel.name,
                "unit": channel.unit,
                "carriers": sum(channel.name in agent.channels for agent in roster.agents),
            }
            for channel in site.channels
        ],
        "every_s": site.round.every_s,
        "agents": [
            {"id": agent.id, "channels": sorted(agent.channels), "votes": agent.votes}
            for agent in roster.agents
        ],
        "certificate": _validity(config),
        "ledger": None if config.ledger is None else _ledger(config.ledger),
    }


def _ledger(config: LedgerConfig) -> Mapping[str, object]:
    nodes = [urlsplit(url).hostname or "?" for url in (config.rpc_url, *config.rpc_urls)]
    return {
        "chain_id": config.chain_id,
        "contract": config.contract.lower(),
        "account": _account(config),
        "nodes": nodes,
    }


def _account(config: LedgerConfig) -> str | None:
    try:
        return address_of(load_key(config.key_file, config.key_password_file)).lower()
    except (KeyFileError, OSError, ValueError):  # the ledger's client tells what is wrong with it
        return None


def _validity(config: GatewayConfig) -> tuple[float, float] | None:
    """Return from when to when the gateway's certificate is valid, seconds since 1970, if any."""
    path = config.credentials.certificate_file
    if path is None:
        return None
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
