"""Takes the documentation's pictures of the page: runs an emulation, looks at it in Chromium.

Run by `make screenshots`; needs chromium and chromedriver. Arguments go to `protoledger emulate`.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images/page"
PATIENCE_S = 1800
SHOTS = (
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
    size["height"] = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)
    driver.save_screenshot(str(IMAGES / f"{name}.png"))


def main() -> None:
    """Run an emulation to its end, and take all pictures of its page."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "protoledger", "emulate", "--page"]
        command += ["--report", f"{folder}/report.html", *sys.argv[1:]]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as emulation:
            url, gone = None, 0.0
            for line in emulation.stderr or ():
                sys.stderr.write(line)
                gone = time.monotonic() - began
                if found := re.search(r"the page (?:is|stays) at (\S+)", line):
                    url = found[1]
                if "stays at" in line or gone > PATIENCE_S:
                    break
            if url is None:
                sys.exit("screenshots: the emulation named no page")
            driver = browser()
            try:
                for shot in SHOTS:
                    shoot(driver, url, shot)
            finally:
                driver.quit()
                emulation.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
