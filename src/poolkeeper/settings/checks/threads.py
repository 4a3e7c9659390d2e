"""With a blocking driver, threads that run endpoints find a connection each."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts.threads import THREAD_LIMIT
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    capacity = settings.capacity
    if not settings.supports_sync or settings.url.dialect == "sqlite":
        return
    if settings.supports_async and settings.thread_limit is None:
        return
    threads = settings.thread_limit or int(THREAD_LIMIT.value)
    if threads > capacity:
        yield Finding(
            "threads-exceed-pool",
            Severity.INFO if settings.thread_limit is None else Severity.WARNING,
            "thread_limit",
            f"{threads} threads share {capacity} connections",
            "a thread that waits in db.sync_session() serves nobody else; keeper.sync_write waits outside of threads",
            f"Lower the thread limit to {capacity}, or raise pool_size",
            THREAD_LIMIT.source if settings.thread_limit is None else "",
        )
