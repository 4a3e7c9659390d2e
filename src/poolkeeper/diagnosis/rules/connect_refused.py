"""Nobody listens where the database should be."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.model import Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "refused":
        yield trouble.finding(
            "connect-refused",
            "nothing listens at that address: the database is down, elsewhere, or listens on other addresses only",
            "Check that the server runs, the host and port in the URL, and the server's listen_addresses",
        )
