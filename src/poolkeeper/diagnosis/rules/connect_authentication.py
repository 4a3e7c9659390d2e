"""The server refuses the service's credentials."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.diagnosis.case import Case
from poolkeeper.model import Finding


def check(case: Case) -> Iterator[Finding]:
    trouble = case.trouble
    if trouble and trouble.kind == "authentication":
        yield trouble.finding(
            "connect-authentication",
            "user or password is wrong or was changed, or no line of pg_hba.conf lets this host in",
            "Check user and password in the URL, when the secret was last rotated, and pg_hba.conf",
        )
