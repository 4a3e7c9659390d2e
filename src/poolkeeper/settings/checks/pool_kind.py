"""The kind of pool fits the life of the process."""

from __future__ import annotations

from collections.abc import Iterator

from poolkeeper.facts.platforms import serverless_platform
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.checks.case import Case


def check(case: Case) -> Iterator[Finding]:
    settings = case.settings
    platform = serverless_platform(case.environ)
    if settings.pool == "queue" and platform is not None and (platform.value.freezes or settings.instances is None):
        yield Finding(
            "queue-pool-in-serverless",
            Severity.WARNING,
            "pool",
            f"pool queue on {platform.value.title}",
            "instances come and go, each with a pool of its own, and idle connections die while a process is frozen",
            "Set profile to serverless and put a pooler in front"
            if platform.value.freezes
            else "Set profile to serverless, or bound the instances and set instances to that number",
            platform.source,
        )
    if settings.pool != "null" or settings.url.dialect == "sqlite":
        return
    if settings.profile != "serverless" and platform is None:
        yield Finding(
            "null-pool-in-service",
            Severity.WARNING,
            "pool",
            f"pool null with profile {settings.profile}",
            "every request pays for a new connection",
            "Set pool to queue; for a serverless function set profile to serverless",
        )
    if settings.pooler == "none" and settings.instances is None:
        yield Finding(
            "serverless-without-pooler",
            Severity.WARNING,
            "url",
            f"pool null, and {settings.provider.title} is reached without a pooler",
            f"each instance has up to {settings.capacity} connections open, and nothing bounds the instances",
            "Use the URL of a pooler: PgBouncer, RDS Proxy, or the provider's own (Neon -pooler, Supabase port 6543); "
            "or bound the instances, and set instances and max_connections",
        )
