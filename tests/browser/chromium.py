"""Chromium, and whether what it shows can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from tests.servers import find_program

PHONE = {"width": 375, "height": 667}
DESKTOP = {"width": 1280, "height": 800}
# No sandbox: Chromium refuses to run as root with one. The rest keeps it from looking for hosts of its own.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# No longer than a module: while it lives, no test of another one in this thread can start an event loop.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(executable_path=find_program("chromium", "chromium"), args=_FLAGS)
    yield chromium
    chromium.close()


def colour_of(page: Page, selector: str, name: str) -> tuple[float, ...]:
    value = page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{name}")
    return tuple(int(part) / 255 for part in re.findall(r"\d+", value)[:3])


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance (WCAG 2)."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio (WCAG 2); 4.5 is the least for normal text."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
