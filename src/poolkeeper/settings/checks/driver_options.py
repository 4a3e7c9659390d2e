"""The driver knows every option that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poolkeeper.facts.driver_options import DRIVER_OPTIONS, FOREIGN_OPTIONS
from poolkeeper.facts.drivers import driver_kind
from poolkeeper.model import Finding, Severity
from poolkeeper.model.names import closest
from poolkeeper.settings.checks.case import Case
from poolkeeper.settings.dsn import Dsn

# SQLAlchemy takes these out of the query before the driver sees it.
_OF_SQLALCHEMY = frozenset({"plugin"})


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    yield from _examine(settings.url, "url", settings.url.query)
    yield from _examine(settings.url, "connect_args", settings.connect_args)
    for number, url in enumerate(settings.replica_urls):
        yield from _examine(url, f"replica_urls.{number}", url.query)


def _examine(url: Dsn, subject: str, names: Iterable[str]) -> Iterator[Finding]:
    kind = driver_kind(url.dialect, url.driver)
    if kind is None:
        return
    known = DRIVER_OPTIONS[kind.name]
    foreign = FOREIGN_OPTIONS.get(kind.name, {})
    for name in sorted(frozenset(names) - known.value - _OF_SQLALCHEMY):
        advice = foreign.get(name)
        guess = closest(name, known.value)
        yield Finding(
            code="driver-option-unknown",
            # An option of another driver is certain to fail; a newer release may know any other name.
            severity=Severity.WARNING if advice is None else Severity.ERROR,
            subject=subject,
            seen=f"{kind.name} has no option {name}",
            why="every connect would fail with a TypeError",
            fix=advice or (f"Write {guess}, if that was meant" if guess else f"Remove {name}"),
            source=known.source,
        )
