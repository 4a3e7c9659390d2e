"""Replicas are copies of the primary, elsewhere, reached in the same way."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts.drivers import driver_kind
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case
from poolkeeper.settings.dsn import Dsn


def check(case: Case) -> Iterator[Finding]:
    primary = case.settings.url
    for number, replica in enumerate(case.settings.replica_urls):
        yield from _examine(primary, replica, f"replica_urls.{number}")
    if case.settings.replica_urls and primary.dialect == "sqlite":
        yield Finding(
            "replicas-of-a-file",
            Severity.ERROR,
            "replica_urls",
            f"{len(case.settings.replica_urls)} given for SQLite",
            "a file has no replicas that follow it",
            "Remove replica_urls",
        )


def _examine(primary: Dsn, replica: Dsn, subject: str) -> Iterator[Finding]:
    if replica.dialect != primary.dialect:
        yield Finding(
            "replica-of-another-kind",
            Severity.ERROR,
            subject,
            f"the primary is {primary.dialect}, this replica {replica.dialect}",
            "a read would meet another SQL dialect than the one it was written for",
            "Give replicas of the primary only",
        )
    elif driver_kind(replica.dialect, replica.driver) != driver_kind(primary.dialect, primary.driver):
        yield Finding(
            "replica-driver-differs",
            Severity.ERROR,
            subject,
            f"the primary uses {primary.scheme}, this replica {replica.scheme}",
            "sessions for reading and writing have to be of one kind",
            f"Write {replica.masked(primary.scheme)}",
        )
    if (replica.addresses, replica.database) == (primary.addresses, primary.database):
        yield Finding(
            "replica-is-primary",
            Severity.WARNING,
            subject,
            f"{replica} is the primary's own address",
            "the primary would get a second pool, counted against the same max_connections",
            "Remove it, or give the replica's host",
        )
