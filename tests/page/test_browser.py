"""The page as a person uses it, in a real Chromium; `make test-page` runs these.

`tests/dashboard` asks the same process over HTTP; here it is looked at, by mouse, keyboard and
axe-core.
"""

import json
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from protoledger.dashboard.reading.views import VIEWS
from protoledger.dashboard.report import write_report
from protoledger.dashboard.server.login import write_password
from protoledger.emulator.processes.certificates import CertificateAuthority
from tests.dashboard.test_page import EVIL, PASSWORD, serving
from tests.support.recorded import Recorded, recorded_site

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with recorded_site(tmp_path_factory.mktemp("page") / "attic", EVIL) as recorded:
        yield recorded


@pytest.fixture(scope="module")
def page(site):
    cellar = str(site.folder.parent / "cellar" / "gateway.db")
    with serving(sites=(("attic", str(site.store_file)), ("cellar", cellar))) as asking:
        yield asking


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium()


def until(true, what, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def text(browser, selector="#panel"):
    return browser.execute_script(
        "return document.querySelector(arguments[0])?.innerText ?? ''", selector
    )


def look(browser, page, view, site="attic"):
    browser.get(f"{page.url}#{view}/{site}")
    until(lambda: "Loading" not in text(browser) and text(browser), f"{view} does not appear")


def complaints(browser):
    worth = {"SEVERE", "WARNING"}
    return [one["message"] for one in browser.get_log("browser") if one["level"] in worth]


def hosts(browser):
    """All hosts that the browser asked for anything."""
    asked = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = urlsplit(message["params"]["request"]["url"])
            if url.scheme in {"http", "https", "ws", "wss"}:
                asked.add(url.hostname)
    return asked


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_and_nothing_complains(browser, page, view):
    browser.get_log("browser")
    look(browser, page, view)
    if view in {"learning", "trust"}:
        until(
            lambda: browser.execute_script(
                "const c = document.querySelector('[data-slot] canvas');"
                "return c && c.getContext('2d').getImageData(0, 0, c.width, c.height)"
                ".data.some((v) => v > 0)"
            ),
            "no chart is drawn",
        )
    assert complaints(browser) == []
    assert hosts(browser) <= {"127.0.0.1"}


@pytest.mark.parametrize("view", VIEWS)
def test_what_others_wrote_is_shown_as_text(browser, page, view):
    look(browser, page, view)
    found = browser.execute_script(
        "return [document.querySelectorAll('#panel script, #panel img').length, "
        "document.scripts.length]"
    )
    assert found == [0, 2]
    if view in {"learning", "explain"}:
        assert EVIL in text(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(chromium, page, scheme, width):
    browser = chromium(width, scheme)
    for view in VIEWS:
        look(browser, page, view)
        browser.execute_script(AXE.read_text(encoding="utf-8"))
        found = browser.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
            ".then((r) => done(r.violations"
            ".filter((v) => ['serious', 'critical'].includes(v.impact))"
            ".map((v) => [v.id, v.nodes.map((n) => n.html + ' ' + n.failureSummary)])))"
        )
        assert found == [], f"{view}, {scheme}, {width} px"
    browser.quit()


def test_a_phone_s_width_needs_no_sideways_scrolling(chromium, page):
    browser = chromium(390)
    for view in VIEWS:
        look(browser, page, view)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390, f"{view} is {wide} px wide"
    browser.quit()


def test_it_follows_live_and_keeps_the_focus(browser, page, site):
    look(browser, page, "learning")
    browser.execute_script("document.querySelector('[role=radio]').focus()")
    before = site.trainer.counters.samples
    site.status()
    site.learn(9)
    until(lambda: f"{before + 9}\n0 without a label" in text(browser), "the newest is not shown")
    assert browser.execute_script("return document.activeElement.role") == "radio"


def test_the_keyboard_is_enough(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    look(browser, page, "now")
    browser.execute_script("document.getElementById('tab-now').focus()")
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    until(lambda: "Kappa-temporal" in text(browser), "the arrow did not open the next tab")
    selected = browser.execute_script(
        "return [document.activeElement.id, document.activeElement.ariaSelected]"
    )
    assert selected == ["tab-learning", "true"]
    ActionChains(browser).send_keys(Keys.END).perform()
    until(lambda: "Alerts that would fire now" in text(browser), "End did not open the last tab")


def test_a_prediction_is_chosen_and_explained(browser, page):
    look(browser, page, "explain")
    browser.execute_script("document.querySelectorAll('.pick')[3].click()")
    until(
        lambda: browser.execute_script(
            "return document.querySelectorAll('.pick')[3].ariaPressed === 'true'"
        ),
        "it is not chosen",
    )
    until(lambda: "The answer without an owner" in text(browser), "it is not explained")


def test_each_state_is_designed(browser, page, site):
    look(browser, page, "learning", "cellar")
    assert "No gateway has started here yet" in text(browser)
    cellar = Recorded(site.folder.parent / "cellar", name="cellar")
    cellar.status()
    cellar.write()
    until(lambda: "The gateway is starting" in text(browser), "starting")
    cellar.learn(30)
    until(lambda: "Right here" in text(browser), "running")
    cellar.status(written_at=time.time() - 100)
    until(lambda: "no sign of life" in text(browser), "stale")
    path = cellar.store_file.with_name("gateway.db.status.json")
    path.unlink()
    until(lambda: "The gateway does not run" in text(browser), "stopped")
    cellar.close()
    cellar.store_file.with_name("gateway.db.history").unlink()
    again = Recorded(site.folder.parent / "cellar", name="cellar")  # the gateway's restart
    again.status()
    again.learn(3)
    until(lambda: "The gateway does not run" not in text(browser), "running again")
    again.close()
    shutil.rmtree(again.folder)
    assert complaints(browser) == []


def test_a_page_whose_server_is_gone_says_so_and_comes_back(chromium, site):
    browser = chromium()
    with serving(sites=(("attic", str(site.store_file)),)) as asking:
        look(browser, asking, "now")
        port = asking.port
    until(lambda: "No connection" in text(browser, "#banner"), "it does not say so")
    with serving(sites=(("attic", str(site.store_file)),), fixed_port=port):
        until(lambda: text(browser, "#connection") == "live", "it does not come back")
        until(lambda: not text(browser, "#banner"), "the banner stays")
    browser.quit()


def test_a_person_logs_in(chromium, site, tmp_path):
    from selenium.webdriver.common.by import By

    browser = chromium()
    write_password(tmp_path / "password", PASSWORD)
    issued = CertificateAuthority(tmp_path / "tls").client("127.0.0.1")
    with serving(
        sites=(("attic", str(site.store_file)),),
        certificate=str(issued.certificate),
        key=str(issued.key),
        password_file=str(tmp_path / "password"),
    ) as asking:
        browser.get(asking.url)
        for password, seen in (("not this one", "not the password"), (PASSWORD, "What happened")):
            browser.find_element(By.ID, "password").send_keys(password)
            browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
            until(lambda seen=seen: seen in text(browser, "body"), seen)
        wrong = [one for one in complaints(browser) if "403" not in one]
        assert wrong == []
    browser.quit()


def test_a_report_draws_from_its_file_alone(chromium, site, tmp_path):
    browser = chromium()
    write_report(tmp_path / "report.html", [("attic", site.store_file)])
    for view in VIEWS:
        browser.get(f"{(tmp_path / 'report.html').as_uri()}#{view}/attic")
        browser.refresh()
        until(lambda: "Loading" not in text(browser) and text(browser), f"{view} does not appear")
    assert complaints(browser) == []
    assert hosts(browser) == set()
    browser.quit()
