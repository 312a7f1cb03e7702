"""The page in a browser, with hostile names, damaged files, a crowd, and the end of a session."""

import contextlib
import sqlite3

import pytest

from protoledger.dashboard.server.login import write_password
from protoledger.dashboard.server.stream import MOST_STREAMS
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.gateway.training.history.tables import history_path
from tests.dashboard.test_hostile_clients import stream
from tests.dashboard.test_page import PASSWORD, serving
from tests.page.test_browser import complaints, look, text, until
from tests.support.recorded import Recorded

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]

TURNED = "\u202eytpme\u200b\u0007"
"""Reads "empty" where it is not shown as it is."""
LONG = "x" * 100_000


@pytest.fixture
def site(tmp_path):
    recorded = Recorded(tmp_path / "attic", labels=(TURNED, LONG))
    recorded.learn(40)
    recorded.join(owner=TURNED)
    recorded.learn(20)
    recorded.recorder.event("rejected", {"reason": TURNED + LONG})
    recorded.status(last_failure=LONG)
    recorded.write()
    yield recorded
    recorded.close()


@pytest.fixture
def page(site):
    with serving(sites=(("attic", str(site.store_file)),)) as asking:
        yield asking


def test_nothing_in_a_text_is_hidden_or_endless(chromium, page):
    browser = chromium(390)
    for view in ("now", "learning", "explain", "trust", "health"):
        look(browser, page, view)
        shown = text(browser, "body")
        assert not set(TURNED) & set(shown) - set("ytpme"), view
        assert len(shown) < 60_000, view
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, view
    look(browser, page, "now")
    assert "⟨202E⟩ytpme⟨200B⟩⟨0007⟩" in text(browser)
    assert complaints(browser) == []
    browser.quit()


def test_nonsense_in_a_file_is_a_sentence_and_the_next_view_is_shown(chromium, page, site):
    browser = chromium()
    with sqlite3.connect(history_path(site.store_file)) as database:
        sound = database.execute("SELECT content FROM documents WHERE name = 'now'").fetchone()[0]
        for nonsense in ('{"prediction": {"at": 1e999, "probabilities": 7}}', '{"counters": 3}'):
            database.execute("UPDATE documents SET content = ? WHERE name = 'now'", [nonsense])
            database.commit()
            look(browser, page, "now")
            until(
                lambda: "cannot be shown" in text(browser) or "damaged" in text(browser),
                f"{nonsense}: no word of it",
            )
        database.execute("UPDATE documents SET content = ? WHERE name = 'now'", [sound])
        database.commit()
    site.status()
    until(lambda: "Right so far" in text(browser), "it does not come back")
    assert complaints(browser) == []
    browser.quit()


def test_one_page_too_many_is_up_to_date_all_the_same(chromium, page, site):
    browser = chromium()
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            stack.enter_context(contextlib.closing(stream(page))).recv(15)
        look(browser, page, "learning")
        site.learn(4)
        site.status()
        until(lambda: "64\n0 without a label" in text(browser), "it does not ask again")
        assert text(browser, "#connection") == "live"
    browser.quit()


def test_a_person_logs_out(chromium, site, tmp_path):
    from selenium.webdriver.common.by import By

    browser = chromium(390)
    write_password(tmp_path / "password", PASSWORD)
    issued = CertificateAuthority(tmp_path / "tls").client("127.0.0.1")
    with serving(
        sites=(("attic", str(site.store_file)),), certificate=str(issued.certificate),
        key=str(issued.key), password_file=str(tmp_path / "password"),
    ) as asking:  # fmt: skip
        browser.get(asking.url)
        browser.find_element(By.ID, "password").send_keys(PASSWORD)
        browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        until(lambda: "What happened" in text(browser, "body"), "the page")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        browser.find_element(By.CSS_SELECTOR, ".leave").click()
        until(lambda: browser.find_elements(By.ID, "password"), "the login is not asked again")
        browser.get(asking.url)
        until(lambda: browser.find_elements(By.ID, "password"), "the session goes on")
    browser.quit()
