"""The settings as they act: every field final, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Literal, cast

from pydantic import SecretStr

from poolkeeper.facts import Pooler, Provider
from poolkeeper.facts.drivers import DRIVERS, driver_kind
from poolkeeper.model import Finding, Severity
from poolkeeper.settings.dsn import Dsn
from poolkeeper.settings.masking import MASK, masked
from poolkeeper.settings.profiles import PoolKind, ProfileName
from poolkeeper.settings.refused import SettingsRefused

Kind = Literal["async", "sync"]


def _schemes(dialect: str, kind: Kind) -> list[str]:
    fitting = (item for item in DRIVERS.values() if (item.supports_async if kind == "async" else item.supports_sync))
    return [f"{dialect}+{item.name}" for item in fitting if dialect in item.dialects]


class OriginKind(StrEnum):
    """Who decided a value."""

    DEFAULT = "default"
    PROFILE = "profile"
    PROVIDER = "provider"
    ENVIRONMENT = "environment"
    ARGUMENT = "argument"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who decided a value, and what it was decided from."""

    kind: OriginKind
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()

    @property
    def chosen(self) -> bool:
        """Whether the user gave the value itself."""
        return self.kind in (OriginKind.ENVIRONMENT, OriginKind.ARGUMENT)


@dataclass(frozen=True, kw_only=True)
class EffectiveSettings:
    """What engines are built from. All times are seconds; `pool_recycle` -1 means never. The repr holds no secret.

    `pool` is "static" for an in-memory SQLite database, which lives in one connection. `findings` are the warnings and
    notes; `origins` has one entry per setting.
    """

    url: Dsn
    replica_urls: tuple[Dsn, ...]
    replica_weights: tuple[float, ...]
    max_lag: float
    max_lag_bytes: int | None
    replica_wait: float
    enforce_read_only: Literal["client", "server"]
    signing_key: SecretStr | None
    profile: ProfileName
    provider: Provider
    pooler: Pooler
    service: str | None
    pool: PoolKind
    pool_size: int
    max_overflow: int
    pool_timeout: float
    pool_recycle: int
    pool_pre_ping: bool
    pool_use_lifo: bool
    min_idle: int
    max_idle: float | None
    overflow_linger: float
    max_waiting: int | None
    ping_after: float
    ping_timeout: float
    keepalive: float | None
    connects_at_once: int
    connect_grace: float
    recycle_jitter: float
    warm_up_timeout: float
    connect_timeout: float
    statement_timeout: float | None
    command_timeout: float | None
    tcp_keepalive: int | None
    retry_attempts: int
    retry_budget: float
    client_timeout: float | None
    expected_hold: float
    drain_timeout: float
    health_timeout: float
    max_connections: int | None
    reserved_connections: int
    workers: int | None
    instances: int | None
    thread_limit: int | None
    slow_hold: float | None
    look_at_server: bool
    echo: bool
    echo_pool: bool
    hide_parameters: bool
    connect_args: Mapping[str, object] = field(repr=False)
    engine_options: Mapping[str, object] = field(repr=False)
    origins: Mapping[str, Origin] = field(repr=False)
    findings: tuple[Finding, ...] = field(default=(), repr=False)

    @property
    def capacity(self) -> int:
        """Connections that one process may have open."""
        return self.pool_size + self.max_overflow

    @property
    def supports_async(self) -> bool:
        """Whether the URL's driver awaits: an AsyncEngine can be built."""
        kind = driver_kind(self.url.dialect, self.url.driver)
        return kind is not None and kind.supports_async

    @property
    def supports_sync(self) -> bool:
        """Whether the URL's driver blocks: an Engine can be built."""
        kind = driver_kind(self.url.dialect, self.url.driver)
        return kind is not None and kind.supports_sync

    def require(self, kind: Kind) -> None:
        """Raise SettingsRefused where the URL's driver cannot serve an engine of this kind ("async", "sync")."""
        if self.supports_async if kind == "async" else self.supports_sync:
            return
        have, other = ("sync", "async") if kind == "async" else ("async", "sync")
        why = "stop the whole event loop at every statement" if kind == "async" else "need an event loop"
        finding = Finding(
            code=f"{have}-driver-in-{kind}-engine",
            severity=Severity.ERROR,
            subject="url",
            seen=f"{self.url.scheme} is {'a blocking' if have == 'sync' else 'an asyncio'} driver",
            why=f"it would {why}",
            fix=f"Use the {other} engine and sessions, or one of {', '.join(_schemes(self.url.dialect, kind))}",
        )
        raise SettingsRefused((finding,))

    def shown(self) -> dict[str, object]:
        """Every setting as a plain value without secrets, in the order of the documentation."""
        return {name: self._shown(name) for name in self.origins}

    def _shown(self, name: str) -> object:
        value = getattr(self, name)
        if isinstance(value, Provider):
            return value.name
        if isinstance(value, Dsn):
            return str(value)
        if isinstance(value, SecretStr):
            return MASK
        if isinstance(value, tuple):
            return [str(each) if isinstance(each, Dsn) else each for each in cast("tuple[object, ...]", value)]
        return masked("", value)

    def report(self) -> tuple[str, ...]:
        """One line per setting with its origin ("pool_size = 20 (profile bounded)"), for a log or a terminal."""
        return tuple(f"{name} = {value} ({self.origins[name]})" for name, value in self.shown().items())

    def as_dict(self) -> dict[str, object]:
        """Settings, origins and findings as plain values without secrets, for JSON."""
        return {
            "settings": {
                name: {"value": value, "origin": str(self.origins[name])} for name, value in self.shown().items()
            },
            "pooler": self.pooler,
            "findings": [finding.as_dict() for finding in self.findings],
        }


SETTING_NAMES = tuple(item.name for item in fields(EffectiveSettings))
