"""`make emulate ARGS="--page"`, looked at while it runs and after its end."""

import contextlib
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.page.test_browser import complaints, hosts, text, until

pytestmark = [pytest.mark.page, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600


@contextlib.contextmanager
def emulation(arguments):
    """What a person types, with the lines that the terminal says; ends as by Ctrl-C."""
    command = ["make", "--no-print-directory", "emulate", f"ARGS={arguments}"]
    lines = []
    with subprocess.Popen(
        command, cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            yield SimpleNamespace(process=process, lines=lines)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(PATIENCE_S)
            reader.join(PATIENCE_S)


def _read(stream, lines):
    for line in stream:
        lines.append(line)


def test_all_sites_and_the_chain_live_and_after_the_end(chromium, tmp_path):
    browser = chromium()
    report = tmp_path / "report.html"
    with emulation(f"--page --rounds 60 --sites 2 --agents 4 --report {report}") as running:

        def said(pattern):
            assert running.process.poll() is None, "".join(running.lines)
            return re.search(pattern, "".join(running.lines))

        until(lambda: said(r"the page is at \S+"), "no address", PATIENCE_S)
        url = said(r"the page is at (\S+)")[1]
        browser.get(f"{url}#now")
        until(lambda: "running" in text(browser), "it is not seen running", PATIENCE_S)
        until(lambda: said(r"the page stays at \S+ until Ctrl-C"), "no end", PATIENCE_S)
        assert str(report) in "".join(running.lines)
        for view, seen in (
            ("learning", "Kappa-temporal"),
            ("ledger", "Commits over time"),
            ("trust", "Who votes here|Nobody else has committed yet"),  # as significance has it
            ("explain", "The nearest prototypes"),
            ("health", "Agents"),
        ):
            browser.get(f"{url}#{view}")
            until(lambda seen=seen: re.search(seen, text(browser)), f"{view} does not say {seen}")
        browser.get(f"{url}#now")
        until(lambda: "All gateways were stopped" in text(browser), "not both sites, stopped")
        assert text(browser).count("stopped") == 3, "the sentence, and a word at each site"
        assert complaints(browser) == []
        assert hosts(browser) <= {"127.0.0.1"}
    until(lambda: "No connection" in text(browser, "#banner"), "the page outlives the emulation")
    browser.quit()
