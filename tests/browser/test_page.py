"""The page of a pool in a real browser."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.chromium import DESKTOP, PHONE, colour_of, contrast, luminance
from tests.page.apps import PATH, app_with_page, release
from tests.replicas.clusters import Cluster, own_cluster
from tests.service.served import Served, serve, wait_until

from poolkeeper import Database, Replica
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

pytestmark = pytest.mark.slow

# Within two polls.
SOON = 6_000


@pytest.fixture
def proxy(postgres: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy(postgres.host, postgres.port) as running:
        yield running


@pytest.fixture
def database(proxy: FaultProxy, postgres: EmbeddedPostgres) -> Database:
    url = proxy.url(postgres.url("asyncpg"))
    return Database(url, name="shop", pool_size=3, min_idle=1, connect_timeout=2, drain_timeout=0.1)


@pytest.fixture
def served(database: Database) -> Iterator[Served]:
    with serve(app_with_page(database)) as running:
        yield running
        httpx.get(f"{running.url}/mended")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_cluster() as running:
        yield running


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: one folder for all of them where somebody wants to look, else with the test's files."""
    folder = Path(os.environ.get("POOLKEEPER_OUTPUT") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def opened(browser: Browser, served: Served, viewport: dict[str, int], scheme: str = "light") -> tuple[Page, list[str]]:
    """The page with its first numbers, and everything that the browser complained about."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{served.url}{PATH}")
    expect(page.locator("#pulse-text")).to_have_text("Live")
    return page, complaints


def in_background(served: Served, path: str) -> threading.Thread:
    thread = threading.Thread(target=httpx.get, args=(served.url + path,), kwargs={"timeout": 30}, daemon=True)
    thread.start()
    return thread


def test_a_leak_is_shown_while_it_happens_and_goes_when_it_is_mended(
    browser: Browser, served: Served, shots: Path
) -> None:
    page, complaints = opened(browser, served, DESKTOP)
    expect(page.locator("#sentence")).to_have_text("0 of 3 connections in use, and nobody waits.")
    expect(page.locator("#holders")).to_contain_text("Nobody")
    page.screenshot(path=shots / "page-idle.png", full_page=True)
    httpx.get(f"{served.url}/leaks")
    row = page.locator("#holders tbody tr")
    expect(row).to_contain_text("GET /leaks", timeout=SOON)
    expect(row).to_contain_text("leaked")
    expect(row).to_contain_text("in leak")
    page.screenshot(path=shots / "page-leak.png", full_page=True)
    httpx.get(f"{served.url}/mended")
    expect(page.locator("#holders")).to_contain_text("Nobody", timeout=SOON)
    assert complaints == []
    page.close()


def test_an_exhausted_pool_is_told_in_words_and_announced(
    browser: Browser, served: Served, database: Database, postgres: EmbeddedPostgres, shots: Path
) -> None:
    page, complaints = opened(browser, served, DESKTOP)
    threads = [in_background(served, f"/{kind}/25") for kind in ("reports", "payments", "reports")]
    wait_until(lambda: database.snapshot().in_use == 3)
    threads += [in_background(served, "/orders/1") for _ in range(2)]
    expect(page.locator("#sentence")).to_contain_text("All 3 connections are in use, and 2 callers wait", timeout=SOON)
    expect(page.get_by_role("status")).to_contain_text("All 3 connections")
    expect(page.get_by_role("img", name="3 in use")).to_be_visible()
    assert page.locator("#holders tbody tr").count() == 3
    page.screenshot(path=shots / "page-exhausted.png", full_page=True)
    assert complaints == []
    release(served, postgres)
    for thread in threads:
        thread.join()
    page.close()


def test_the_page_stays_when_the_database_goes_away(
    browser: Browser, served: Served, proxy: FaultProxy, shots: Path
) -> None:
    page, complaints = opened(browser, served, DESKTOP)
    proxy.refuse()
    proxy.close_all()
    in_background(served, "/orders/1")
    expect(page.locator("#sentence")).to_contain_text("No connection to the database can be opened", timeout=SOON)
    expect(page.locator("#pulse-text")).to_have_text("Live")
    page.screenshot(path=shots / "page-database-down.png", full_page=True)
    proxy.heal()
    # The pool opens `min_idle` connections again by itself.
    expect(page.locator("#sentence")).to_contain_text("in use", timeout=20_000)
    assert complaints == []
    page.close()


def test_the_page_says_when_the_service_does_not_answer(browser: Browser, database: Database, shots: Path) -> None:
    with serve(app_with_page(database)) as served:
        page, _ = opened(browser, served, DESKTOP)
    expect(page.get_by_role("alert")).to_contain_text("does not answer", timeout=SOON)
    expect(page.locator("#sentence")).to_contain_text("0 of 3")
    page.screenshot(path=shots / "page-service-down.png", full_page=True)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_fits_and_can_be_read(
    browser: Browser,
    served: Served,
    postgres: EmbeddedPostgres,
    viewport: dict[str, int],
    scheme: str,
    shots: Path,
) -> None:
    threads = [in_background(served, f"/{kind}/25") for kind in ("reports", "payments")]
    page, complaints = opened(browser, served, viewport, scheme)
    expect(page.locator("#holders tbody tr")).to_have_count(2, timeout=SOON)
    page.locator("summary").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    card = colour_of(page, ".card", "backgroundColor")
    for selector in (".sentence", ".legend li", ".chart figcaption", "tbody th", "#holders code"):
        assert contrast(colour_of(page, selector, "color"), card) >= 4.5, selector
    for selector in (".tag.good", ".tag.warn"):
        ground = colour_of(page, selector, "backgroundColor")
        assert contrast(colour_of(page, selector, "color"), ground) >= 4.5, selector
    assert (luminance(colour_of(page, "body", "backgroundColor")) < 0.5) is (scheme == "dark")
    page.screenshot(path=shots / f"page-{viewport['width']}-{scheme}.png", full_page=True)
    assert complaints == []
    release(served, postgres)
    for thread in threads:
        thread.join()
    page.close()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_replicas_are_shown(browser: Browser, cluster: Cluster, viewport: dict[str, int], shots: Path) -> None:
    nobody = cluster.two.url().replace(str(cluster.two.port), "1")
    big = Replica(cluster.one.url(), name="big", weight=2)
    database = cluster.database(replicas=[big, cluster.two.url(), nobody])
    with serve(app_with_page(database)) as served:
        page, complaints = opened(browser, served, viewport)
        rows = page.locator("#replicas tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.first).to_contain_text("ready", timeout=SOON)
        expect(rows.last).to_contain_text("unreachable", timeout=SOON)
        for text in ("big", "weight 2", "gets reads", "0 of 5"):
            expect(rows.first).to_contain_text(text)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        page.screenshot(path=shots / f"page-replicas-{viewport['width']}.png", full_page=True)
        assert complaints == []
        page.close()


def test_a_page_without_replicas_says_nothing_of_them(browser: Browser, served: Served) -> None:
    page, _ = opened(browser, served, DESKTOP)
    expect(page.locator("#replicas-section")).to_be_hidden()
    page.close()


def test_it_pauses_by_the_keyboard_and_goes_on(browser: Browser, served: Served) -> None:
    page, _ = opened(browser, served, DESKTOP)
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    polls.clear()
    page.wait_for_timeout(2_500)
    assert polls == []
    page.keyboard.press("Enter")
    expect(page.locator("#pulse-text")).to_have_text("Live")
    with page.expect_request("**/data", timeout=SOON):
        pass
    page.close()


def test_it_does_not_poll_while_nobody_sees_it(browser: Browser, served: Served) -> None:
    page, _ = opened(browser, served, DESKTOP)
    hide = "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {hidden}}})"
    event = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide.format(hidden="true") + ";" + event)
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    page.wait_for_timeout(2_500)
    assert polls == []
    with page.expect_request("**/data", timeout=1_000):
        page.evaluate(hide.format(hidden="false") + ";" + event)
    page.close()


def test_what_is_open_and_focused_stays_so_over_polls(browser: Browser, served: Served) -> None:
    page, _ = opened(browser, served, DESKTOP)
    summary = page.locator("#settings-rest summary")
    summary.focus()
    page.keyboard.press("Enter")
    with page.expect_response("**/data", timeout=SOON):
        pass
    expect(page.locator("#settings-rest")).to_have_attribute("open", "")
    expect(summary).to_be_focused()
    expect(page.locator("#settings-default")).to_contain_text("pool_timeout")
    page.close()
