"""The database's host name cannot be resolved."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.model import Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "dns":
        yield trouble.finding(
            "connect-dns",
            "no address is known for the database's host, so no connection can be opened",
            "Check the host in the URL and the resolver of this machine or container (getent hosts NAME)",
        )
