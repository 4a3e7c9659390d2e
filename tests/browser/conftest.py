from __future__ import annotations

from tests.browser.chromium import browser, playwright

__all__ = ["browser", "playwright"]
