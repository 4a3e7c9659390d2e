"""The replicas of a database, as they are given, and the settings of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import URL

from poolkeeper.engine import Password
from poolkeeper.model import Finding
from poolkeeper.settings import DatabaseSettings, EffectiveSettings, SettingsRefused
from poolkeeper.settings.dsn import Dsn
from poolkeeper.settings.effective import Origin, OriginKind


@dataclass(frozen=True)
class Replica:
    """A replica with something of its own: `Replica("postgresql+asyncpg://...", weight=2, pool_size=40)`.

    It gets reads in proportion to `weight`. `password` is a callable, as that of a `Database`, where it is another.
    `settings` are fields of `DatabaseSettings`; all others are the primary's.
    """

    url: str | URL | Dsn = field(repr=False)
    weight: float
    name: str | None
    password: Password | None = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)

    def __init__(
        self,
        url: str | URL | Dsn,
        *,
        weight: float = 1.0,
        name: str | None = None,
        password: Password | None = None,
        **settings: Any,
    ) -> None:
        if not 0 < weight < float("inf"):
            raise ValueError("the weight of a replica is more than 0")
        given = {"url": url, "weight": weight, "name": name, "password": password, "settings": settings}
        for key, value in given.items():
            object.__setattr__(self, key, value)


@dataclass(frozen=True)
class PlannedReplica:
    """A replica as it acts."""

    name: str
    weight: float
    settings: EffectiveSettings
    password: Password | None = field(default=None, repr=False)


def with_replicas(
    url: str | URL | DatabaseSettings | None, replicas: Sequence[str | URL | Replica], settings: Mapping[str, Any]
) -> DatabaseSettings:
    """The settings of a database with these replicas. Raises `SettingsRefused`."""
    if not replicas:
        return url if isinstance(url, DatabaseSettings) else DatabaseSettings(url, **settings)
    urls = [replica.url if isinstance(replica, Replica) else replica for replica in replicas]
    if isinstance(url, DatabaseSettings):
        return url.elsewhere(url.url, **{"replica_weights": url.replica_weights, **settings}, replica_urls=urls)
    return DatabaseSettings(url, **settings, replica_urls=urls)


def planned(
    given: DatabaseSettings,
    primary: EffectiveSettings,
    replicas: Sequence[str | URL | Replica],
    password: Password | None = None,
) -> tuple[PlannedReplica, ...]:
    """Each replica with its settings: the primary's, what it says otherwise, and what holds for every replica.

    Raises `SettingsRefused` for what cannot be, and `ValueError` for two of the same name.
    """
    hosts = replicas or primary.replica_urls
    weights = primary.replica_weights or (1.0,) * len(hosts)
    told = [
        replica if isinstance(replica, Replica) else Replica(replica, weight=weight)
        for replica, weight in zip(hosts, weights, strict=True)
    ]
    found = tuple(_plan(given, replica, number, password) for number, replica in enumerate(told, 1))
    if len({replica.name for replica in found}) < len(found):
        raise ValueError("two replicas have the same name")
    return found


def _plan(given: DatabaseSettings, replica: Replica, number: int, password: Password | None) -> PlannedReplica:
    try:
        settings = given.elsewhere(replica.url, **replica.settings).resolve()
    except SettingsRefused as refused:
        raise SettingsRefused(_under(f"replica_urls.{number - 1}", refused.findings)) from None
    name = replica.name or f"replica-{number}"
    return PlannedReplica(name, replica.weight, _without_grace(settings), replica.password or password)


def _without_grace(settings: EffectiveSettings) -> EffectiveSettings:
    """Whoever meets a replica that is away is better served elsewhere than by waiting for it."""
    origin = Origin(OriginKind.DERIVED, "of a replica: another host answers")
    return replace(settings, connect_grace=0.0, origins={**settings.origins, "connect_grace": origin})


def _under(subject: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(replace(finding, subject=f"{subject}: {finding.subject}") for finding in findings)
