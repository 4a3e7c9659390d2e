"""Replicas are copies of the primary, elsewhere, reached in the same way."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts.drivers import driver_kind
from poolkeeper.facts.provider import MYSQL
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case
from poolkeeper.settings.dsn import Dsn


def check(case: Case) -> Iterator[Finding]:
    primary = case.settings.url
    for number, replica in enumerate(case.settings.replica_urls):
        yield from _examine(primary, replica, f"replica_urls.{number}")
    urls, weights = len(case.settings.replica_urls), len(case.settings.replica_weights)
    if weights not in (0, urls):
        yield Finding(
            "replica-weights-differ",
            Severity.ERROR,
            "replica_weights",
            f"{weights} weights for {urls} replicas",
            "nobody can tell which weight is whose",
            "Give one for each replica, in their order, or none",
        )
    if case.settings.max_lag_bytes is not None and primary.dialect in MYSQL:
        yield Finding(
            "lag-not-in-bytes",
            Severity.ERROR,
            "max_lag_bytes",
            f"{case.settings.max_lag_bytes}, and the database is {primary.dialect}",
            "its replicas follow transactions, of which nobody tells the bytes",
            "Leave it out; max_lag decides",
        )
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
