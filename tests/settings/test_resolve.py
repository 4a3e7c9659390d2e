from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolkeeper.facts import PROVIDERS
from poolkeeper.settings import DatabaseSettings, EffectiveSettings, SettingsRefused
from poolkeeper.settings.profiles import PROFILES

URL = "postgresql+asyncpg://u:p@db/shop"
NEON = "postgresql+asyncpg://u:p@ep-x-1.eu-central-1.aws.neon.tech/shop"
NEON_POOLER = "postgresql+asyncpg://u:p@ep-x-1-pooler.eu-central-1.aws.neon.tech/shop"


def resolved(url: str = URL, **chosen: object) -> EffectiveSettings:
    return DatabaseSettings(url=url, **chosen).resolve({})


def origin(settings: EffectiveSettings, name: str) -> str:
    return str(settings.origins[name])


def test_without_any_setting_the_pool_is_bounded():
    settings = resolved()
    pool = (settings.pool_size, settings.max_overflow, settings.pool_timeout, settings.pool_recycle)
    assert pool == (20, 0, 10, 3600)
    assert settings.pool_pre_ping is True
    assert (settings.statement_timeout, settings.command_timeout) == (30, 35)
    assert settings.findings == ()
    assert origin(settings, "pool_size") == "profile bounded"
    assert origin(settings, "pool_timeout") == "default"


@pytest.mark.parametrize(
    ("profile", "size", "overflow"),
    [("development", 5, 5), ("small-api", 10, 10), ("high-traffic", 20, 30), ("background-worker", 5, 5)],
)
def test_a_profile_decides_the_sizes_and_is_not_criticised_for_its_own(profile, size, overflow):
    settings = resolved(profile=profile)
    assert (settings.pool_size, settings.max_overflow) == (size, overflow)
    assert settings.findings == ()


def test_every_value_of_a_profile_can_be_overridden():
    other = {
        "pool_size": 11,
        "max_overflow": 7,
        "min_idle": 3,
        "keepalive": 20.0,
        "statement_timeout": 3.0,
        "command_timeout": 9.0,
        "pool": "queue",
    }
    for name, profile in PROFILES.items():
        for field in profile:
            settings = resolved(profile=name, **{field: other[field]})
            assert getattr(settings, field) == other[field]
            assert origin(settings, field) == "argument"


def test_a_background_worker_may_run_long_statements():
    settings = resolved(profile="background-worker")
    assert (settings.statement_timeout, settings.command_timeout) == (None, None)
    assert resolved(profile="background-worker", statement_timeout=60).command_timeout is None


def test_serverless_keeps_no_connections():
    settings = resolved(NEON_POOLER, profile="serverless")
    assert settings.pool == "null"
    assert settings.capacity == 5
    assert resolved(profile="serverless", pool="queue").pool == "queue"


def test_the_command_timeout_follows_the_statement_timeout():
    assert resolved(statement_timeout=7).command_timeout == 12
    assert resolved(statement_timeout=None).command_timeout is None
    assert resolved(command_timeout=None).command_timeout is None
    assert resolved(command_timeout=99).command_timeout == 99


@pytest.mark.parametrize(
    ("client_timeout", "pool_timeout", "expected"),
    [(5, None, 4.9), (5, 10, 4.9), (5, 30, 4.9), (60, 10, 10), (60, None, 10), (10.1, 10, 10)],
)
def test_nobody_waits_longer_than_the_caller_does(client_timeout, pool_timeout, expected):
    given = {} if pool_timeout is None else {"pool_timeout": pool_timeout}
    settings = resolved(client_timeout=client_timeout, connect_timeout=1, **given)
    assert settings.pool_timeout == pytest.approx(expected)
    lowered = expected < (pool_timeout or 10)
    assert ("client_timeout" in origin(settings, "pool_timeout")) is lowered


def test_a_silent_connection_and_a_slow_connect_fit_into_the_deadline_together():
    settings = resolved(client_timeout=4.1)
    assert settings.pool_timeout == pytest.approx(4)
    assert (settings.connect_timeout, settings.ping_timeout, settings.connect_grace) == pytest.approx((2, 1, 2))
    assert origin(settings, "connect_timeout") == "derived 50 % of pool_timeout"
    assert origin(settings, "ping_timeout") == "derived 25 % of pool_timeout"
    assert resolved(client_timeout=3, connect_timeout=4).connect_timeout == 4


def test_a_connect_is_given_the_time_of_a_distant_server_because_it_outlives_its_caller():
    settings = resolved(client_timeout=0.5)
    assert (settings.connect_timeout, settings.ping_timeout) == (1, 0.25)
    assert origin(settings, "connect_timeout") == "derived pool_timeout; not below 1 s"


def test_a_ping_takes_no_longer_than_a_connect():
    settings = resolved(connect_timeout=1)
    assert (settings.ping_timeout, origin(settings, "ping_timeout")) == (1, "derived connect_timeout")
    assert resolved(connect_timeout=1, ping_timeout=3).ping_timeout == 3


@pytest.mark.parametrize(
    ("url", "given", "min_idle", "said"),
    [
        (URL, {}, 20, "derived pool_size"),
        (URL, {"min_idle": None}, 20, "derived pool_size"),
        (URL, {"min_idle": 0}, 0, "argument"),
        (URL, {"pool_size": 7, "max_overflow": 7}, 7, "derived pool_size"),
        (URL, {"profile": "background-worker"}, 1, "profile background-worker"),
        (URL, {"profile": "serverless"}, 0, "derived pool null"),
        (URL, {"profile": "serverless", "pool": "queue"}, 0, "profile serverless"),
        (NEON, {}, 0, "provider neon: it may suspend"),
        ("sqlite+aiosqlite://", {}, 0, "derived pool static"),
        ("sqlite+aiosqlite:///x", {}, 0, "provider sqlite: a file is opened at once"),
        ("mysql+pymysql://u@db/d", {}, 0, "derived url: a pool for threads opens on demand"),
    ],
)
def test_connections_are_open_before_the_first_request_where_that_is_of_use(url, given, min_idle, said):
    settings = resolved(url, **given)
    assert (settings.min_idle, origin(settings, "min_idle")) == (min_idle, said)


def test_a_database_that_suspends_is_let_sleep():
    settings = resolved(NEON)
    assert (settings.keepalive, settings.max_idle) == (None, 150)
    assert settings.max_idle < settings.pool_recycle * (1 - settings.recycle_jitter)
    assert settings.findings == ()
    assert resolved(NEON, keepalive=30).keepalive == 30


@pytest.mark.parametrize("client_timeout", [0.05, 0.1])
def test_a_caller_that_leaves_no_time_to_wait_is_refused(client_timeout):
    with pytest.raises(SettingsRefused, match="client-timeout-too-short"):
        resolved(client_timeout=client_timeout)


@pytest.mark.parametrize(
    ("url", "recycle", "keepalive"),
    [
        (URL, 3600, 300),
        (NEON, 225, 225),
        ("postgresql+asyncpg://u@x.postgres.database.azure.com/d", 180, 180),
        ("postgresql+asyncpg://u@/d?host=/cloudsql/p:r:i", 450, 300),
        ("postgresql+asyncpg://u@p.proxy-abc.eu-west-1.rds.amazonaws.com/d", 1350, 300),
        ("mysql+asyncmy://u@db/d", 3600, 300),
        ("mysql+asyncmy://u@aws.connect.psdb.cloud/d", 3600, 300),
    ],
)
def test_connections_are_replaced_and_probed_at_three_quarters_of_the_shortest_cut(url, recycle, keepalive):
    settings = resolved(url)
    assert (settings.pool_recycle, settings.tcp_keepalive) == (recycle, keepalive)
    assert ("75 %" in origin(settings, "pool_recycle")) is (recycle < 3600)


def test_every_provider_gets_connections_that_are_replaced_before_its_cut():
    for provider in PROVIDERS.values():
        dialect = next(iter(sorted(provider.dialects)), "postgresql")
        driver = {"mysql": "asyncmy", "mariadb": "asyncmy", "sqlite": "aiosqlite"}.get(dialect, "asyncpg")
        scheme = f"{'postgresql' if driver == 'asyncpg' else dialect}+{driver}"
        settings = resolved(f"{scheme}:///d" if dialect == "sqlite" else f"{scheme}://h/d", provider=provider.name)
        assert 0 < settings.pool_recycle <= 3600
        limits = [fact.value for fact in (provider.idle_cut, provider.maximum_age) if fact is not None]
        assert all(settings.pool_recycle <= 0.75 * limit for limit in limits)
        assert settings.keepalive is None or all(settings.keepalive <= 0.75 * limit for limit in limits)
        assert settings.pooler == provider.mode


def test_an_explicit_recycle_is_kept():
    assert resolved(NEON, pool_recycle=100).pool_recycle == 100
    assert resolved(NEON, pool_recycle=900).pool_recycle == 900
    assert resolved(pool_recycle=-1).pool_recycle == -1


def test_behind_a_pooler_the_default_statement_timeout_is_not_sent_and_commands_stay_bounded():
    settings = resolved(NEON_POOLER)
    assert settings.pooler == "transaction"
    assert settings.statement_timeout is None
    assert "not sent" in origin(settings, "statement_timeout")
    assert settings.command_timeout == 35


def test_a_named_provider_wins_over_the_address():
    settings = resolved("postgresql+asyncpg://u@h:6432/d", provider="pgbouncer-session")
    assert settings.pooler == "session"
    assert origin(settings, "provider") == "argument"
    assert settings.findings == ()


def test_reserved_connections_are_the_servers_own_unless_given():
    assert resolved().reserved_connections == 3
    assert resolved(NEON).reserved_connections == 7
    assert resolved(NEON_POOLER).reserved_connections == 0
    assert resolved("mysql+asyncmy://h/d").reserved_connections == 0
    assert resolved(reserved_connections=9).reserved_connections == 9
    assert resolved(reserved_connections=0).reserved_connections == 0


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite://", "sqlite+aiosqlite:///:memory:"])
def test_an_in_memory_database_has_one_connection(url):
    settings = resolved(url)
    assert (settings.pool, settings.pool_size, settings.max_overflow, settings.capacity) == ("static", 1, 0, 1)
    assert (settings.statement_timeout, settings.command_timeout) == (None, None)
    assert settings.findings == ()


def test_an_sqlite_file_is_pooled_like_a_server_but_has_no_timeouts():
    settings = resolved("sqlite+aiosqlite:///x.db")
    assert (settings.pool, settings.pool_size) == ("queue", 20)
    assert (settings.statement_timeout, settings.command_timeout) == (None, None)


@pytest.mark.parametrize(
    ("url", "supports_async", "supports_sync"),
    [
        ("postgresql+asyncpg://h/d", True, False),
        ("postgresql+psycopg://h/d", True, True),
        ("postgresql+psycopg_async://h/d", True, False),
        ("mysql+aiomysql://h/d", True, False),
        ("mysql+asyncmy://h/d", True, False),
        ("mysql+pymysql://h/d", False, True),
        ("mariadb+pymysql://h/d", False, True),
        ("sqlite+aiosqlite:///x", True, False),
        ("sqlite:///x", False, True),
        ("sqlite+pysqlite:///x", False, True),
    ],
)
def test_it_is_known_which_engines_a_url_allows(url, supports_async, supports_sync):
    settings = resolved(url)
    assert (settings.supports_async, settings.supports_sync) == (supports_async, supports_sync)


@pytest.mark.parametrize(
    ("url", "kind", "code", "advice"),
    [
        ("mysql+pymysql://h/d", "async", "sync-driver-in-async-engine", "mysql+asyncmy"),
        ("sqlite:///x", "async", "sync-driver-in-async-engine", "sqlite+aiosqlite"),
        (URL, "sync", "async-driver-in-sync-engine", "postgresql+psycopg"),
    ],
)
def test_a_driver_of_the_other_kind_is_refused_with_the_ones_that_fit(url, kind, code, advice):
    with pytest.raises(SettingsRefused, match=code) as refused:
        resolved(url).require(kind)
    assert advice in refused.value.findings[0].fix
    resolved("postgresql+psycopg://h/d").require(kind)


@given(
    client_timeout=st.none() | st.floats(0.2, 120),
    pool_timeout=st.none() | st.floats(0.1, 120),
    expected_hold=st.floats(0.01, 0.1),
    statement_timeout=st.none() | st.floats(0.1, 600),
    pool_recycle=st.none() | st.integers(1, 10_000),
    profile=st.sampled_from(list(PROFILES)),
    url=st.sampled_from([URL, NEON, "sqlite+aiosqlite:///x", "mysql+asyncmy://h/d"]),
)
def test_whatever_is_given_is_kept_unless_the_caller_would_be_gone(url, **given):
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = DatabaseSettings(url, **chosen).resolve({})
    for name in chosen.keys() - {"pool_timeout"}:
        assert getattr(settings, name) == chosen[name]
    wanted = chosen.get("pool_timeout", 10)
    bound = float("inf") if given["client_timeout"] is None else given["client_timeout"] - given["expected_hold"]
    assert settings.pool_timeout == min(wanted, bound)
    assert settings.ping_timeout <= settings.connect_timeout <= max(1, settings.pool_timeout / 2)
    assert settings.min_idle <= settings.pool_size
    if settings.statement_timeout is not None and settings.command_timeout is not None:
        assert settings.command_timeout > settings.statement_timeout
    assert all(name in line for name, line in zip(settings.origins, settings.report(), strict=True))


def test_the_report_has_one_line_per_setting_with_its_origin():
    settings = resolved(pool_timeout=15)
    lines = settings.report()
    assert "pool_size = 20 (profile bounded)" in lines
    assert "pool_timeout = 15.0 (argument)" in lines
    assert "url = postgresql+asyncpg://u:***@db/shop (argument)" in lines
    assert len(lines) == len(DatabaseSettings.model_fields) == len(settings.origins)
