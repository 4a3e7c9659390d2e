"""From what was given to what acts: profile, provider and the settings that depend on each other. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from poolkeeper.facts import PROVIDERS, Provider, detect, postgres
from poolkeeper.facts.drivers import driver_kind
from poolkeeper.policy.sizing import LIFE_SHARE, wait_within
from poolkeeper.settings.effective import SETTING_NAMES, EffectiveSettings, Origin, OriginKind
from poolkeeper.settings.profiles import PROFILES

if TYPE_CHECKING:
    from poolkeeper.settings.schema import DatabaseSettings

COMMAND_GRACE = 5.0
# One deadline covers a silent connection, a slow connect and the wait. A connect goes on when its caller has left, so
# it is never bounded below what a distant server needs.
_SHARES_OF_POOL_TIMEOUT = (("connect_timeout", 0.5, 1.0), ("ping_timeout", 0.25, 0.25), ("connect_grace", 0.5, 0.0))


class _Draft:
    """Values and their origins while they are worked out. What the user chose is never overwritten."""

    def __init__(self, given: DatabaseSettings) -> None:
        # A subclass may hold the settings of a whole application.
        names = [name for name in SETTING_NAMES if name in type(given).model_fields]
        self.values: dict[str, Any] = {name: getattr(given, name) for name in names}
        self.origins = {name: Origin(OriginKind.DEFAULT) for name in self.values}
        for name in given.model_fields_set & self.origins.keys():
            self.origins[name] = _origin_of(name, given.from_environment)

    def derive(self, name: str, value: object, origin: Origin) -> None:
        if not self.origins[name].chosen:
            self.values[name], self.origins[name] = value, origin


def _origin_of(name: str, from_environment: Mapping[str, str]) -> Origin:
    variable = from_environment.get(name)
    return Origin(OriginKind.ARGUMENT) if variable is None else Origin(OriginKind.ENVIRONMENT, variable)


def effective(given: DatabaseSettings) -> EffectiveSettings:
    """The effective settings, without findings."""
    draft = _Draft(given)
    if draft.values["min_idle"] is None:
        # Also where it was given as None: there is no such number of connections.
        draft.origins["min_idle"] = Origin(OriginKind.DEFAULT)
    _apply_profile(draft)
    provider = _provider(given)
    if given.provider is None:
        draft.origins["provider"] = Origin(OriginKind.DERIVED, f"from the URL: {provider.recognised_by.value}")
    _apply_provider(draft, provider)
    _derive_command_timeout(draft)
    _apply_pooler(draft, provider)
    _apply_client_timeout(draft)
    _fit_into_pool_timeout(draft)
    _apply_sqlite(draft)
    _derive_min_idle(draft)
    values: dict[str, Any] = {**draft.values, "provider": provider}
    values |= {name: dict(values[name]) for name in ("connect_args", "engine_options")}
    origins = {name: draft.origins[name] for name in SETTING_NAMES if name in draft.origins}
    return EffectiveSettings(**values, pooler=provider.mode, origins=origins)


def _provider(given: DatabaseSettings) -> Provider:
    return PROVIDERS[given.provider] if given.provider else detect(given.url.dialect, given.url.addresses)


def _apply_profile(draft: _Draft) -> None:
    profile = draft.values["profile"]
    for name, value in PROFILES[profile].items():
        draft.derive(name, value, Origin(OriginKind.PROFILE, profile))


def _apply_provider(draft: _Draft, provider: Provider) -> None:
    if (limit := provider.shortest_life) is not None and LIFE_SHARE * limit.value < draft.values["pool_recycle"]:
        origin = Origin(OriginKind.PROVIDER, f"{provider.name}: 75 % of {limit.value:g} s")
        draft.derive("pool_recycle", int(LIFE_SHARE * limit.value), origin)
    for name in ("tcp_keepalive", "keepalive"):
        seconds = draft.values[name]
        if (cut := provider.idle_cut) is not None and seconds is not None and cut.value * LIFE_SHARE < seconds:
            origin = Origin(OriginKind.PROVIDER, f"{provider.name}: 75 % of {cut.value:g} s")
            draft.derive(name, int(cut.value * LIFE_SHARE), origin)
    _let_it_sleep(draft, provider)
    _apply_reserved(draft, provider)


def _let_it_sleep(draft: _Draft, provider: Provider) -> None:
    """A database that suspends when nobody asks is woken by pings, and by replacing connections."""
    if (idle := provider.suspends_after) is None:
        return
    origin = Origin(OriginKind.PROVIDER, f"{provider.name}: it may suspend")
    draft.derive("keepalive", None, origin)
    draft.derive("min_idle", 0, origin)
    # Closed before any of them is old enough to be replaced.
    draft.derive("max_idle", idle.value / 2, Origin(OriginKind.PROVIDER, f"{provider.name}: 50 % of {idle.value:g} s"))


def _apply_reserved(draft: _Draft, provider: Provider) -> None:
    if draft.values["reserved_connections"] is not None:
        return
    if provider.reserved_connections is not None:
        value, origin = int(provider.reserved_connections.value), Origin(OriginKind.PROVIDER, provider.name)
    elif draft.values["url"].dialect == "postgresql" and provider.mode == "none":
        value, origin = postgres.SUPERUSER_RESERVED_CONNECTIONS.value, Origin(OriginKind.DEFAULT, "of PostgreSQL")
    else:
        value, origin = 0, Origin(OriginKind.DEFAULT)
    draft.values["reserved_connections"], draft.origins["reserved_connections"] = value, origin


def _derive_command_timeout(draft: _Draft) -> None:
    statement_timeout = draft.values["statement_timeout"]
    if draft.origins["command_timeout"].kind is OriginKind.DEFAULT and statement_timeout is not None:
        origin = Origin(OriginKind.DERIVED, f"statement_timeout + {COMMAND_GRACE:g} s")
        draft.derive("command_timeout", statement_timeout + COMMAND_GRACE, origin)


def _apply_pooler(draft: _Draft, provider: Provider) -> None:
    if provider.mode != "none":
        draft.derive(
            "statement_timeout", None, Origin(OriginKind.PROVIDER, f"{provider.name}: not sent, the pooler refuses it")
        )


def _apply_client_timeout(draft: _Draft) -> None:
    client_timeout, hold = draft.values["client_timeout"], draft.values["expected_hold"]
    if client_timeout is None or not 0 < wait_within(client_timeout, hold) < draft.values["pool_timeout"]:
        return
    # The user's own pool_timeout gives way too: who waits longer than the caller does, waits for nobody.
    draft.values["pool_timeout"] = wait_within(client_timeout, hold)
    draft.origins["pool_timeout"] = Origin(
        OriginKind.DERIVED, f"client_timeout {client_timeout:g} s - expected_hold {hold:g} s"
    )


def _fit_into_pool_timeout(draft: _Draft) -> None:
    for name, share, least in _SHARES_OF_POOL_TIMEOUT:
        bound = max(least, share * draft.values["pool_timeout"])
        if draft.values[name] > bound:
            detail = f"{100 * share:g} % of pool_timeout" if bound > least else f"pool_timeout; not below {least:g} s"
            draft.derive(name, bound, Origin(OriginKind.DERIVED, detail))
    if draft.values["ping_timeout"] > draft.values["connect_timeout"]:
        draft.derive("ping_timeout", draft.values["connect_timeout"], Origin(OriginKind.DERIVED, "connect_timeout"))


def _derive_min_idle(draft: _Draft) -> None:
    pool, pool_size, url = draft.values["pool"], draft.values["pool_size"], draft.values["url"]
    kind = driver_kind(url.dialect, url.driver)
    if pool != "queue":
        draft.derive("min_idle", 0, Origin(OriginKind.DERIVED, f"pool {pool}"))
    elif kind is not None and not kind.supports_async:
        draft.derive("min_idle", 0, Origin(OriginKind.DERIVED, "url: a pool for threads opens on demand"))
    if draft.values["min_idle"] is None:
        draft.values["min_idle"], draft.origins["min_idle"] = pool_size, Origin(OriginKind.DERIVED, "pool_size")


def _apply_sqlite(draft: _Draft) -> None:
    url = draft.values["url"]
    if url.dialect != "sqlite":
        return
    for name in ("statement_timeout", "command_timeout", "keepalive"):
        draft.derive(name, None, Origin(OriginKind.PROVIDER, "sqlite: no server to wait for"))
    draft.derive("min_idle", 0, Origin(OriginKind.PROVIDER, "sqlite: a file is opened at once"))
    if url.in_memory:
        origin = Origin(OriginKind.PROVIDER, "sqlite: an in-memory database lives in one connection")
        for name, value in {"pool": "static", "pool_size": 1, "max_overflow": 0}.items():
            draft.values[name], draft.origins[name] = value, origin
