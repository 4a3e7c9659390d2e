"""Which code is the service's own, and which lies in between."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sqlalchemy

from poolkeeper.observe import sites
from poolkeeper.observe.awaiting import awaiting


def code_in(path: str) -> object:
    return compile("def handler():\n    return here()\n", path, "exec")


def test_the_standard_library_installed_packages_and_this_one_are_libraries() -> None:
    for path in (json.__file__, sqlalchemy.__file__, sites.__file__, "<string>", "/venv/lib/site-packages/a/b.py"):
        assert sites.is_library(code_in(path)), path
    for path in (__file__, "/srv/app/main.py", "main.py", "<stdin>"):
        assert not sites.is_library(code_in(path)), path


def test_an_app_that_is_installed_is_found_when_nothing_else_is() -> None:
    found: list[sites.Site | None] = []

    def here() -> None:
        frame = sys._getframe(1)
        # Only what an installed app has: the frames above it are this test's.
        found.append(sites._first_beyond(frame))

    names: dict[str, object] = {"here": here}
    exec(code_in("/venv/lib/site-packages/shop/orders.py"), names)
    names["handler"]()
    assert found[0] is not None
    assert sites.described(found[0]) == "shop/orders.py:2 in handler"


def test_a_site_is_short(tmp_path: Path) -> None:
    names: dict[str, object] = {"here": lambda: sites.site_of(sys._getframe(1))}
    exec(code_in(str(tmp_path / "orders" / "shop.py")), names)
    assert sites.described(names["handler"]()) == "orders/shop.py:2 in handler"


def test_nobody_awaits_nothing() -> None:
    assert awaiting(None) == ()
