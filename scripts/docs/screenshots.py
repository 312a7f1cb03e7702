"""Takes the documentation's pictures of the page: looks at a running emulation in Chromium.

Run by `make screenshots`; needs chromium and chromedriver. Arguments go to `protoledger emulate`;
each site has to have more rounds than `AFTER_ROUNDS`.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images/page"
PATIENCE_S = 1800
SHOWN = ("--source", "image-segments", "--rounds", "all", "--round-seconds", "30")
"""Rounds have time: a browser that draws takes as much of a small machine as they do."""
AFTER_ROUNDS = 300
OVERVIEW_HIGH = 820
ADDRESS = re.compile(r"the page is at (\S+)")
SHOTS = (
    ("overview", "learning", 1280, "light"),
    ("now", "now", 1280, "light"),
    ("learning", "learning", 1280, "light"),
    ("learning-dark", "learning", 1280, "dark"),
    ("ledger", "ledger", 1280, "light"),
    ("trust", "trust", 1280, "light"),
    ("explain", "explain", 1280, "light"),
    ("health", "health", 1280, "light"),
    ("phone", "now", 390, "light"),
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


def browser() -> webdriver.Chrome:
    """Open a Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def shoot(driver: webdriver.Chrome, url: str, shot: tuple[str, str, int, str]) -> None:
    """Take one picture."""
    name, view, width, scheme = shot
    colours = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [colours]})
    driver.get("about:blank")
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(f"{url}#{view}")
    time.sleep(3)
    whole = driver.execute_script("return document.documentElement.scrollHeight")
    size["height"] = OVERVIEW_HIGH if name == "overview" else whole
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)
    driver.save_screenshot(str(IMAGES / f"{name}.png"))


def wait_for(url: str, rounds: int) -> None:
    """Wait until each site has completed so many rounds."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{url}api/views/now", timeout=60) as answer:  # noqa: S310 - ours
            sites = json.load(answer)["sites"]
        if sites and all(site["completed"] >= rounds for site in sites):
            return
        time.sleep(2)
    sys.exit(f"screenshots: no {rounds} rounds in {PATIENCE_S} s")


def main() -> None:
    """Run an emulation, and take all pictures of its page while it runs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "protoledger", "emulate", "--page"]
        command += ["--report", f"{folder}/report.html", *(sys.argv[1:] or SHOWN)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as emulation:
            lines = iter(emulation.stderr or ())
            found = next(filter(None, map(ADDRESS.search, lines)), None)
            if found is None:
                sys.exit("screenshots: the emulation named no page")
            saying = threading.Thread(target=sys.stderr.writelines, args=(lines,))
            saying.start()
            try:
                wait_for(found[1], AFTER_ROUNDS)
                driver = browser()
                try:
                    for shot in SHOTS:
                        shoot(driver, found[1], shot)
                finally:
                    driver.quit()
            finally:
                emulation.send_signal(signal.SIGINT)
                saying.join()


if __name__ == "__main__":
    main()
