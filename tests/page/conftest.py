"""A real Chromium, without a window, that may reach nothing but this machine."""

import shutil

import pytest


@pytest.fixture(scope="session")
def chromium():
    """Make browsers: a function of width, colour scheme; all end with the tests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program, "run `make test-page`, which installs chromium"
    assert driver, "run `make test-page`, which installs chromium-driver"
    opened = []

    def open_browser(width=1280, scheme="light"):
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--ignore-certificate-errors", "--hide-scrollbars", f"--window-size={width},900",
        ):  # fmt: skip
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        browser = webdriver.Chrome(options=options, service=Service(driver))
        browser.set_page_load_timeout(120)
        browser.set_script_timeout(120)
        colours = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [colours]})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened.append(browser)
        return browser

    yield open_browser
    for browser in opened:
        if browser.service.process.poll() is None:
            browser.quit()
