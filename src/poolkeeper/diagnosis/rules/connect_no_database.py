"""The database does not exist on that server."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.model import Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "no-such-database":
        yield trouble.finding(
            "connect-no-database",
            "the server runs and has no database of that name",
            "Check the name and the host in the URL; create the database or restore it",
        )
