"""A URL with several hosts says which of them it means."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    url, given = settings.url, settings.connect_args
    if url.dialect != "postgresql" or len(url.addresses) < 2:
        return
    if "target_session_attrs" not in url.query and "target_session_attrs" not in given:
        yield Finding(
            "hosts-without-target",
            Severity.WARNING,
            "url",
            f"{len(url.addresses)} hosts, and nothing says which of them is meant",
            "the driver takes the first that answers, a standby too, until a write has failed there",
            "Add ?target_session_attrs=read-write to the URL",
        )
