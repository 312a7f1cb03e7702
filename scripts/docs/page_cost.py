"""Measures what the page costs: memory and processor time with no page, one and fifty open.

Run: .venv/bin/python scripts/docs/page_cost.py [--tls] [--seconds 60] [--python PROGRAM]
Three sites write every second; the clients look at all six tabs. Linux.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from protoledger.dashboard.reading.views import VIEWS  # noqa: E402
from protoledger.dashboard.server.login import write_password  # noqa: E402
from protoledger.dashboard.server.settings import MEMORY, Settings  # noqa: E402
from protoledger.emulator.processes.certificates import CertificateAuthority  # noqa: E402
from tests.dashboard.test_page import PASSWORD, Asking, guess  # noqa: E402
from tests.support.recorded import Recorded  # noqa: E402

PARTS = ("protocol", "runtime", "gateway", "dashboard")


def write_for_ever(folder: Path) -> None:
    """Be the gateways: three sites that write every second."""
    sites = [Recorded(folder / f"site-{n}", name=f"site-{n}") for n in range(3)]
    for site in sites:
        site.learn(200)
        site.join()
        site.learn(200)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for site in sites:
            site.status()
            site.learn(1)
        time.sleep(1)


def look(url: str, pages: int) -> None:
    """Be the browsers: read streams until killed."""
    ask = Asking(url)
    headers = {}
    if ask.secure and pages:
        headers["cookie"] = guess(ask, PASSWORD)[1]["set-cookie"].partition(";")[0]
    for number in range(pages):
        connection = ask.connect()
        connection.request("GET", f"/events?view={VIEWS[number % len(VIEWS)]}", headers=headers)
        threading.Thread(target=_read, args=(connection,)).start()


def _read(connection: http.client.HTTPConnection) -> None:
    answer = connection.getresponse()
    while answer.readline():
        pass


def spent_s(process: subprocess.Popen[str]) -> float:
    """Return a process's time on a processor."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: subprocess.Popen[str]) -> dict[str, float]:
    """Return a process's memory, with (Rss) and without (Pss) what others share."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    found = {line.split()[0][:-1]: int(line.split()[1]) / 1024 for line in lines[1:]}
    return {name: round(found[name], 1) for name in ("Rss", "Pss")}


def settings(folder: Path, *, tls: bool) -> Settings:
    """Say what the page shows, and how."""
    sites = tuple((f"site-{n}", str(folder / f"site-{n}" / "gateway.db")) for n in range(3))
    if not tls:
        return Settings(sites, port=0)
    write_password(folder / "password", PASSWORD)
    issued = CertificateAuthority(folder / "tls").client("127.0.0.1")
    return Settings(sites, port=0, certificate=str(issued.certificate), key=str(issued.key),
                    password_file=str(folder / "password"))  # fmt: skip


def measure(folder: Path, python: str, seconds: float, *, tls: bool) -> None:
    """Print a line for each number of pages."""
    me = [sys.executable, __file__]
    paths = os.pathsep.join(str(ROOT / part) for part in PARTS)
    page = [python, "-m", "protoledger.dashboard.server", settings(folder, tls=tls).encode()]
    how = {
        "stdout": subprocess.PIPE,
        "text": True,
        "env": {**os.environ, **MEMORY, "PYTHONPATH": paths},
    }
    with (
        subprocess.Popen([*me, "--write", str(folder)], **how) as writing,  # type: ignore[call-overload]
        subprocess.Popen(page, **how) as serving,  # type: ignore[call-overload]
    ):
        writing.stdout.readline()
        url = serving.stdout.readline().strip()
        for pages in (0, 1, 50, 0, 50):
            with subprocess.Popen([*me, "--look", json.dumps([url, pages])]) as looking:
                time.sleep(8)
                before, began = (spent_s(writing), spent_s(serving)), time.monotonic()
                time.sleep(seconds)
                took = time.monotonic() - began
                gateways, cost = spent_s(writing) - before[0], spent_s(serving) - before[1]
                sys.stdout.write(
                    f"{pages} pages: gateways {gateways / took:.2%}, page {cost / took:.2%} "
                    f"of a core, {memory_mb(serving)} MiB\n"
                )
                looking.kill()
        for process in (writing, serving):
            process.kill()


def main() -> None:
    """Measure, or be one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--look", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write_for_ever(given.write)
    elif given.look:
        look(*given.look)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), given.python, given.seconds, tls=given.tls)


if __name__ == "__main__":
    main()
