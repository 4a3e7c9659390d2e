"""The reference service's page in a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page
from tests.browser.chromium import DESKTOP, PHONE, colour_of, contrast, luminance
from tests.servers import FreshDatabase
from tests.service.served import wait_until

from poolkeeper.drill import Service
from poolkeeper.testing import EmbeddedPostgres


@pytest.fixture(scope="module")
def shop(postgres: EmbeddedPostgres) -> Iterator[FreshDatabase]:
    database = FreshDatabase(postgres, f"shop_{os.getpid()}")
    postgres.execute(f"CREATE DATABASE {database.name}")
    yield database
    postgres.execute(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def service(shop: FreshDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(shop.url("asyncpg"), tmp_path_factory.mktemp("service")) as running:
        yield running


def opened(
    browser: Browser, service: Service, viewport: dict[str, int], scheme: str = "light"
) -> tuple[Page, list[str]]:
    """The index page, and everything that the browser complained about."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.goto(f"{service.address}/")
    return page, complaints


def test_the_page_loads_without_complaint_and_its_links_lead_somewhere(browser: Browser, service: Service) -> None:
    page, complaints = opened(browser, service, DESKTOP)
    assert page.title() == "Orders"
    links = page.locator("main a")
    targets = [str(links.nth(number).get_attribute("href")) for number in range(links.count())]
    assert len(targets) >= 5
    # Asked for, not opened: the page of /docs loads its scripts from elsewhere.
    for target in targets:
        with httpx.stream("GET", service.address + target) as response:
            assert response.status_code == 200, target
    assert complaints == []
    page.get_by_role("link", name="Audit").click()
    assert page.url == f"{service.address}/audit"
    assert '"money"' in page.content()
    page.close()


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [
        (PHONE, "light"),
        pytest.param(PHONE, "dark", marks=pytest.mark.slow),
        pytest.param(DESKTOP, "light", marks=pytest.mark.slow),
        (DESKTOP, "dark"),
    ],
    ids=["phone-light", "phone-dark", "desktop-light", "desktop-dark"],
)
def test_the_page_fits_and_can_be_read(
    browser: Browser, service: Service, viewport: dict[str, int], scheme: str, tmp_path: Path
) -> None:
    page, _ = opened(browser, service, viewport, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page_color = colour_of(page, "body", "backgroundColor")
    for selector in ("h1", "p", "a", "span"):
        assert contrast(colour_of(page, selector, "color"), page_color) >= 4.5, selector
    assert (luminance(page_color) < 0.5) is (scheme == "dark")
    page.screenshot(path=tmp_path / "orders.png")
    page.close()


@pytest.mark.slow
def test_leaving_in_the_middle_of_the_export_leaves_no_connection_in_use(
    browser: Browser, service: Service, shop: FreshDatabase
) -> None:
    shop.execute(
        "INSERT INTO orders (customer_id, status, total, placed_at) "
        "SELECT 1, 'paid', 0, now() FROM generate_series(1, 100000)"
    )
    page, _ = opened(browser, service, DESKTOP)
    ended = page.evaluate(
        """async () => {
            const response = await fetch('/orders/export');
            window.reader = response.body.getReader();
            return (await window.reader.read()).done;
        }"""
    )
    assert ended is False
    wait_until(lambda: bool(shop.activity("state = 'active'")))
    page.goto(f"{service.address}/health/live")
    wait_until(lambda: pool_of(service)["in_use"] == 0)
    # An export that went on would be caught in the middle of a page sooner or later.
    assert [shop.activity("state = 'active'") for _ in range(20)] == [[]] * 20
    assert pool_of(service)["waiting"] == 0
    page.close()


def pool_of(service: Service) -> dict[str, int]:
    pool: dict[str, int] = httpx.get(f"{service.address}/health/db").json()["pool"]
    return pool
