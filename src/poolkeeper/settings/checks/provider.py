"""The provider that is named can be the one behind the URL."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts import detect
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    named, url = settings.provider, settings.url
    if "provider" not in case.given or named.name == "other":
        return
    if url.dialect not in named.dialects:
        yield Finding(
            "provider-of-another-kind",
            Severity.ERROR,
            "provider",
            f"{named.name} is named, and the URL is {url.dialect}",
            "its facts would be applied to a database of another kind",
            "Name the provider of this URL, or leave provider out",
        )
        return
    found = detect(url.dialect, url.addresses)
    if found.mode == "transaction" and found.pooler_sure and named.mode != "transaction":
        yield Finding(
            "provider-hides-pooler",
            Severity.WARNING,
            "provider",
            f"{named.name} is named, and the URL looks like {found.title} ({found.recognised_by.value})",
            "prepared statements and session settings fail behind a transaction pooler",
            f"Set provider to {found.name}, or leave it out",
            found.recognised_by.source,
        )
