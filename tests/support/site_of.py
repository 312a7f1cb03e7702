"""One site's files and a real broker, to try the devices' commands on."""

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import yaml
from typer.testing import CliRunner

from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import Mosquitto, find_mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import Children
from protoledger.emulator.processes.embedded_broker import EmbeddedBroker
from protoledger.emulator.site_files import plan_sites, write_gateway, write_sites
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.runtime.broker.access_list import acl_text

AGENTS = 4


@contextmanager
def running_site(folder, access=None, rounds=400):
    """A site of four agents beside its broker; nothing else runs.

    Without Mosquitto it is the emulation's embedded broker, which has no access list.
    """
    dealt = deal(open_source("house"), sites=1, agents=AGENTS, rounds=rounds, seed=5)
    options = Options(sites=1, agents=AGENTS, rounds=rounds, round_seconds=4.0, seed=5)
    authority = CertificateAuthority(folder / "tls")
    (files,) = plan_sites(folder, dealt)
    text = acl_text(files.name, files.gateway, files.agents)
    with Children(folder / "logs") as children:
        if find_mosquitto() is None and access is None:
            broker = EmbeddedBroker(folder / "broker", authority, children)
        else:
            text = text if access is None else access(text)
            broker = Mosquitto(folder / "broker", authority, text, children)
        where = broker.start()
        write_sites([files], dealt, options, where, authority)
        write_gateway(files, options, where, authority, {})
        change(files.gateway_file, ledger=None)
        children.authority = authority
        yield files, children


def change(path: Path, **fields):
    """Set keys of a YAML file; None removes one."""
    content = yaml.safe_load(path.read_text())
    for name, value in fields.items():
        content.pop(name, None) if value is None else content.update({name: value})
    path.write_text(yaml.safe_dump(content))


def live(path: Path, **options):
    """Make an agent's recordings live mocks, with these options."""
    content = yaml.safe_load(path.read_text())
    for sensor in content["sensors"]:
        sensor.update(driver="mock", options={"level": 20.0, **options})
    content["label"].update(driver="mock", options={"level": 1.0})
    content["sampling"] = {"read_every_s": 0.1}
    path.write_text(yaml.safe_dump(content))
    shared = path.parent / "site.yaml"
    site = yaml.safe_load(shared.read_text())
    site["round"]["window_s"] = 1.0
    shared.write_text(yaml.safe_dump(site))


def command(*words, **options):
    """Run `protoledger …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "protoledger", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def invoke(app, *words):
    """The same in this process, which is faster; standard output and error are apart."""
    return CliRunner().invoke(app, [str(word) for word in words])


def copy(folder, name):
    """A second copy of a site's folder, to be spoilt."""
    return Path(shutil.copytree(folder, folder.with_name(name)))


class Running:
    """A process that is told to end at the end, with what it said."""

    def __init__(self, words, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "protoledger", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.errors = self.output = ""
        self.poll = self.process.poll

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.output, self.errors = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output, self.errors = self.process.communicate()
            raise


def running_agent(files, number, **options):
    """`edge run` of one of a site's agents."""
    return Running(["edge", "run", "-c", files.agent_file(files.agents[number])], **options)
