"""A site's contracts: deployed once, and their addresses written to the gateway's file."""

import json
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from protoledger.contracts.keys import address_of
from protoledger.contracts.tools.anvil_state import keep_first_block
from protoledger.contracts.tools.toolchain import binary
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.chain import connect, options
from protoledger.emulator.sites.beginning import dump
from protoledger.emulator.sites.devices import account_of
from protoledger.emulator.sites.folder import SiteFolder
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.requests import read_request

if TYPE_CHECKING:
    from protoledger.contracts.client.owned import OwnedContracts

_LOCAL = {"127.0.0.1", "localhost", "::1"}
_ETHER = 10**18
_START_S = 20.0


def deploy(folder: SiteFolder, chain: str, fund: float) -> list[str]:
    """Put the contracts on the chain, or admit the site's gateway to those that are there.

    Args:
        folder: the site's.
        chain: the node's URL; empty for the one that the site remembers.
        fund: ether that the owner sends to the gateway when it has less than half of that.

    Raises:
        ConfigurationError: there is no chain, no gateway, or no money; says what to do.
        ContractsError: the node does not answer, or refuses.
    """
    from protoledger.contracts.client.owned import OwnedContracts  # noqa: PLC0415 - loads web3

    url, site = chain or folder.plan.chain, folder.site
    if not url:
        raise ConfigurationError("this site has no chain yet; name a node: --chain URL")
    if folder.plan.gateway in folder.waiting:
        raise ConfigurationError(
            f"{folder.plan.gateway} has no account yet: approve its request first"
        )
    gateway = account_of(read_request(folder.handed_in(folder.plan.gateway)))
    if urlsplit(url).hostname in _LOCAL:
        _wait_for(url)
    schema = site.as_schema()
    contracts = OwnedContracts(
        folder.owner / "chain", url, schema.digest, len(schema.channels), len(schema.labels)
    )
    try:
        told = _pay(contracts, gateway, fund)
        before = contracts.record
        if before:
            admitted = contracts.admit([gateway], _replaced(folder, gateway))
            told.append(
                f"the contracts are there already; admitted or revoked: {admitted or 'none'}"
            )
        else:
            contracts.deploy([gateway])
        record, anvil = contracts.record, contracts.is_anvil
        told.append(f"PrototypeBuffer {record['buffer']}, DataOracle {record['oracle']}")
        if not before:
            told.append(f"gas used: {record['gas_used']}; schema 0x{schema.digest.hex()}")
    finally:
        contracts.close()
    if url != folder.plan.chain:
        folder.with_plan(chain=url)
    _tell_gateway(folder, url, record, anvil=anvil)
    return [*told, f"{folder.config(folder.plan.gateway).relative_to(folder.path)}: ledger"]


def _pay(contracts: "OwnedContracts", gateway: str, fund: float) -> list[str]:
    from protoledger.contracts.client.account import Account  # noqa: PLC0415 - loads web3
    from protoledger.contracts.client.deployment import Sender  # noqa: PLC0415

    key = contracts.owner()
    owner = address_of(key)
    if contracts.is_anvil:
        poor = contracts.poor([owner, gateway])
        contracts.fund(poor)
        return [f"Anvil gave money to {len(poor)} accounts"] if poor else []
    if contracts.balance(owner) == 0:
        raise ConfigurationError(
            f"the owner's account {owner} has no money to pay for the contracts (about 5 million "
            f"gas); send it some, and deploy again"
        )
    wei = int(fund * _ETHER)
    if not wei or contracts.balance(gateway) >= wei // 2:
        return []
    sender = Sender(contracts.node, Account(key))
    sender.send(gateway, b"", 21_000, wei)
    sender.wait()
    return [f"sent {fund:g} ether to the gateway {gateway}"]


def _wait_for(url: str) -> None:
    """Wait for a node of this machine, which may have been started just now."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            connect(url)
        except ChainError as error:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{error}; start it (`protoledger site chain` runs one), or name another: "
                    f"--chain URL"
                ) from error
            time.sleep(0.2)
        else:
            return


def _replaced(folder: SiteFolder, gateway: str) -> list[str]:
    """Name the accounts of gateways that were replaced."""
    found = set()
    for half in (folder.owner / "replaced").glob("*/public_half.json"):
        found.add(str(json.loads(half.read_text()).get("chain", "")))
    return sorted(found - {"", gateway})


def _tell_gateway(folder: SiteFolder, url: str, record: dict[str, object], *, anvil: bool) -> None:
    path = folder.config(folder.plan.gateway)
    text = path.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    ledger: dict[str, object] = {
        "rpc_url": url,
        "chain_id": record["chain_id"],
        "contract": record["buffer"],
        "genesis_hash": record["genesis_hash"],
        "key_file": "chain.key",
    }
    if anvil:  # Anvil's WebSocket is at the same port
        ledger["ws_url"] = url.replace("http", "ws", 1)
    had = content.get("ledger")
    if had is not None:
        content["ledger"] = {**had, **ledger}
        text = dump(content)
    else:
        text = text.rstrip("\n") + "\n" + dump({"ledger": ledger})
    write_secret(path, text.encode(), replace=True)


def run_chain(folder: SiteFolder) -> None:
    """Become Anvil, which keeps the chain in the site's folder; does not return.

    Raises:
        ConfigurationError: the site's chain is not on this machine.
    """
    try:
        where = urlsplit(folder.plan.chain)
        host, port = where.hostname, where.port or 8545
    except ValueError as error:
        raise ConfigurationError(f"the chain's address is wrong: {error}") from error
    if host not in _LOCAL:
        raise ConfigurationError(
            f"the site's chain is {f'on {host}' if host else 'not named'}: only one at "
            f"http://127.0.0.1:PORT can be run here"
        )
    program = binary("anvil")
    state = folder.path / "chain" / "state.json"
    state.parent.mkdir(mode=0o700, exist_ok=True)
    os.umask(0o077)
    keep_first_block(state)
    os.execv(program, [str(program), *options(port, state=state)])  # noqa: S606 - that is the point


def run_broker(folder: SiteFolder) -> None:
    """Become Mosquitto with the site's configuration; does not return.

    Raises:
        ProgramMissingError: Mosquitto is not installed.
    """
    program = find_mosquitto()
    if program is None:
        raise ProgramMissingError("mosquitto is not installed; run: sudo apt install mosquitto")
    os.chdir(folder.path)  # the paths in its configuration are relative
    os.execv(program, [str(program), "-c", "broker/mosquitto.conf"])  # noqa: S606
