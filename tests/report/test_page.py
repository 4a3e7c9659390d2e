"""The page of a plan: complete, closed to everything else, and readable in a real browser."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.browser.chromium import DESKTOP, PHONE, colour_of, contrast, luminance
from tests.report.test_pictures import ORDERS, REPORTS, planned

from poolkeeper.report.page import Page, Section, Table
from poolkeeper.report.plan import page_of


@pytest.fixture(scope="module")
def html() -> str:
    return page_of(planned(ORDERS, REPORTS, max_connections=120, cores=4)).html()


@pytest.fixture(scope="module")
def file(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "plan.html"
    path.write_text(html)
    return path


def cells(html: str) -> set[str]:
    return {unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", html)}


@pytest.mark.slow
def test_everything_of_the_plan_is_on_the_page(html: str) -> None:
    plan, text = planned(ORDERS, REPORTS, max_connections=120, cores=4), cells(html)
    assert not plan.fits
    assert "It does not fit" in html
    wanted = {finding.seen for finding in plan.findings} | {change.what for change in plan.changes}
    wanted |= {rule.formula for rule in plan.rules}
    beyond = (plan.budget.server.over(one) for one in plan.budget.server.situations)
    wanted |= {str(number) for number in beyond if number}
    for one in plan.services:
        wanted |= {one.sizing.pool_size.formula, one.sizing.max_waiting.formula}
    assert wanted - text == set()
    assert html.count("<figure>") == html.count("<svg ") == 5


def test_nothing_in_a_plan_can_write_into_the_page() -> None:
    odd = '<script>alert("1")</script>'
    table = Table(odd, (odd,), ((odd, odd),), frozenset({0}))
    html = Page(odd, odd, False, (Section(odd, (odd,), (table,), (), (table,)),)).html()
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&quot;1&quot;)") == 14


@pytest.mark.slow
@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")], ids=["phone", "desktop"])
def test_the_page_can_be_read(browser: Browser, file: Path, viewport: dict[str, int], scheme: str) -> None:
    page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(file.as_uri())
    assert complaints == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    ground = colour_of(page, "body", "backgroundColor")
    assert (luminance(ground) < 0.5) is (scheme == "dark")
    for selector in (".verdict", "p", "td", "tr.bad td", "caption", "figcaption", "summary"):
        assert contrast(colour_of(page, selector, "color"), ground) >= 4.5, selector
    assert contrast(colour_of(page, "svg text", "fill"), ground) >= 4.5
    pictures = page.get_by_role("img")
    assert pictures.count() == 5
    assert pictures.first.locator("title").text_content() == "Connections over a rolling deploy"
    assert overlapping(page.locator("figure").all()) == []
    page.close()


def overlapping(figures: list) -> list[str]:
    """Texts of a picture that cover each other."""
    script = """figure => {
        const all = [...figure.querySelectorAll('svg text')];
        const texts = all.map(each => [each.textContent, each.getBoundingClientRect()]);
        const found = [];
        texts.forEach(([one, a], i) => texts.slice(i + 1).forEach(([other, b]) => {
            if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)
                found.push(one + ' / ' + other);
        }));
        return found;
    }"""
    return [pair for figure in figures for pair in figure.evaluate(script)]
