"""Each finding: a case that shows it, a near miss that does not, and its severity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poolkeeper.model import Severity
from poolkeeper.settings import DatabaseSettings

URL = "postgresql+asyncpg://u:p@db/shop"
PSYCOPG = "postgresql+psycopg://u:p@db/shop"
PYMYSQL = "mysql+pymysql://u:p@db/shop"
BOUNCER = "postgresql+asyncpg://u:p@db:6432/shop"
NEON = "postgresql+asyncpg://u:p@ep-x-1.eu-central-1.aws.neon.tech/shop"
SUPABASE = "postgresql+asyncpg://u:p@aws-0-eu.pooler.supabase.com:6543/postgres"
HOSTS = "postgresql+asyncpg://app@db1,db2:5433/shop"
MEMORY = "sqlite+aiosqlite://"
LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "f"}
CLOUD_RUN = {"K_SERVICE": "s"}
ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

Given = dict[str, Any]


def url(text: str, **given: Any) -> Given:
    return {"url": text, **given}


def db(**given: Any) -> Given:
    return {"url": URL, **given}


def bouncer(**given: Any) -> Given:
    return {"url": BOUNCER, "provider": "pgbouncer-transaction", **given}


CASES: list[tuple[str, Severity, Given, Given]] = [
    ("driver-not-named", ERROR, url("postgres://u:p@db/shop"), url("sqlite:///x")),
    ("driver-not-named", ERROR, url("postgresql://u:p@db/shop"), db()),
    ("driver-not-named", ERROR, url("mysql://u:p@db/shop"), url("mysql+asyncmy://db/shop")),
    ("driver-not-supported", ERROR, url("postgresql+psycopg2://u:p@db/shop"), url(PSYCOPG)),
    ("driver-not-supported", ERROR, url("postgresql+asyncmy://u:p@db/shop"), db()),
    ("driver-not-supported", ERROR, url("oracle+oracledb://u:p@db/shop"), db()),
    ("driver-option-unknown", ERROR, url(f"{URL}?sslmode=require"), url(f"{PSYCOPG}?sslmode=require")),
    ("driver-option-unknown", ERROR, url(f"{PSYCOPG}?ssl=require"), url(f"{URL}?ssl=require")),
    ("driver-option-unknown", WARNING, db(connect_args={"tiemout": 3}), db(connect_args={"timeout": 3})),
    ("driver-option-unknown", ERROR, db(replica_urls=[f"{URL}2?sslmode=x"]), db(replica_urls=[f"{URL}2?ssl=x"])),
    ("provider-of-another-kind", ERROR, url("mysql+asyncmy://h/d", provider="neon"), db(provider="neon")),
    ("provider-of-another-kind", ERROR, url("sqlite:///x", provider="azure"), url("sqlite:///x", provider="other")),
    ("provider-hides-pooler", WARNING, url(SUPABASE, provider="supabase"), url(SUPABASE)),
    ("pooler-mode-unknown", WARNING, url(BOUNCER), bouncer()),
    ("pooler-refuses-parameter", ERROR, bouncer(statement_timeout=20), bouncer(statement_timeout=None)),
    ("pooler-refuses-parameter", ERROR, bouncer(statement_timeout=20), db(statement_timeout=20)),
    (
        "pooler-refuses-parameter",
        ERROR,
        bouncer(connect_args={"server_settings": {"search_path": "x"}}),
        bouncer(connect_args={"server_settings": {"TimeZone": "UTC"}}),
    ),
    (
        "pooler-refuses-parameter",
        ERROR,
        url(f"{PSYCOPG}?options=-c%20statement_timeout%3D5", provider="pgbouncer-transaction"),
        url(f"{PSYCOPG}?options=-c%20statement_timeout%3D5"),
    ),
    (
        "pooler-refuses-parameter",
        ERROR,
        url(PSYCOPG, provider="pgbouncer-session", connect_args={"options": "--lock-timeout=5"}),
        url(PSYCOPG, provider="pgbouncer-session", connect_args={"options": "-ctimezone=UTC"}),
    ),
    (
        "pooler-breaks-prepared-statements",
        WARNING,
        bouncer(connect_args={"statement_cache_size": 100}),
        bouncer(connect_args={"statement_cache_size": 0}),
    ),
    (
        "pooler-breaks-prepared-statements",
        WARNING,
        url(PSYCOPG, provider="pgbouncer-transaction", connect_args={"prepare_threshold": 5}),
        url(PSYCOPG, provider="pgbouncer-session", connect_args={"prepare_threshold": 5}),
    ),
    ("hosts-without-target", WARNING, url(HOSTS), url(f"{HOSTS}?target_session_attrs=primary")),
    ("lag-not-in-bytes", ERROR, url(PYMYSQL, max_lag_bytes=1), db(max_lag_bytes=1)),
    ("replicas-of-a-file", ERROR, url(MEMORY, replica_urls=[f"{MEMORY}2"]), url(MEMORY)),
    ("replica-of-another-kind", ERROR, db(replica_urls=["mysql+asyncmy://h/d"]), db(replica_urls=[f"{URL}2"])),
    ("replica-driver-differs", ERROR, db(replica_urls=["postgresql+psycopg://h/d"]), db(replica_urls=[f"{URL}2"])),
    ("replica-weights-differ", ERROR, db(replica_urls=[f"{URL}2"], replica_weights=(1, 2)), db(replica_weights=())),
    ("server-does-not-enforce", ERROR, url(MEMORY, enforce_read_only="server"), db(enforce_read_only="server")),
    ("replica-is-primary", WARNING, db(replica_urls=["postgresql+asyncpg://v@db/shop"]), db(replica_urls=[f"{URL}2"])),
    ("null-pool-in-service", WARNING, db(pool="null"), db(profile="serverless")),
    ("serverless-without-pooler", WARNING, db(profile="serverless"), bouncer(profile="serverless")),
    ("serverless-without-pooler", WARNING, db(profile="serverless"), db(profile="serverless", instances=9)),
    ("pool-size-unusual", WARNING, db(pool_size=4), db(pool_size=5)),
    ("pool-size-unusual", WARNING, db(pool_size=21), db(pool_size=20)),
    ("overflow-unusual", WARNING, db(max_overflow=9), db(max_overflow=10)),
    ("overflow-unusual", WARNING, db(max_overflow=21), db(max_overflow=20)),
    ("overflow-unusual", WARNING, db(pool_size=7, max_overflow=3), db(pool_size=7, max_overflow=4)),
    ("pool-size-without-effect", WARNING, url(MEMORY, pool_size=10), url(MEMORY)),
    ("pool-size-without-effect", WARNING, url(MEMORY, max_overflow=5), bouncer(profile="serverless", pool_size=1)),
    ("pool-size-without-effect", WARNING, bouncer(profile="serverless", min_idle=1), bouncer(min_idle=1)),
    ("min-idle-exceeds-pool", ERROR, db(min_idle=21), db(min_idle=20)),
    ("min-idle-exceeds-pool", ERROR, db(pool_size=5, min_idle=6), db(pool_size=5)),
    ("max-idle-without-effect", INFO, db(max_idle=60), db(max_idle=60, min_idle=19)),
    ("max-idle-without-effect", INFO, db(max_idle=60), db(max_idle=60, max_overflow=10)),
    ("database-kept-awake", INFO, url(NEON, keepalive=60), url(NEON)),
    ("database-kept-awake", INFO, url(NEON, keepalive=60), db(keepalive=60)),
    ("database-kept-awake", INFO, url(NEON, min_idle=1), url(NEON, min_idle=0)),
    ("pool-budget-exceeded", ERROR, db(max_connections=22), db(max_connections=23)),
    ("pool-budget-exceeded", ERROR, db(max_connections=100, workers=5), db(max_connections=103, workers=5)),
    ("pool-budget-exceeded", WARNING, db(workers=2, instances=3), db(workers=2, instances=2)),
    ("pool-budget-exceeded", WARNING, bouncer(instances=6), bouncer(instances=5)),
    ("pool-budget-exceeded", ERROR, db(max_connections=40, max_overflow=20), db(max_connections=43, max_overflow=20)),
    ("pool-budget-tight", WARNING, db(max_connections=100, workers=4), db(max_connections=103, workers=4)),
    ("client-timeout-too-short", ERROR, db(client_timeout=0.1), db(client_timeout=0.2, connect_timeout=0.01)),
    ("pool-timeout-lowered", INFO, db(client_timeout=9, pool_timeout=10), db(client_timeout=9)),
    ("statement-outlives-caller", INFO, db(client_timeout=29), db(client_timeout=30)),
    ("slow-hold-is-usual", WARNING, db(slow_hold=0.1), db(slow_hold=0.11)),
    ("slow-hold-is-usual", WARNING, db(expected_hold=20), db(expected_hold=20, slow_hold=None)),
    ("pool-timeout-unusual", WARNING, db(pool_timeout=9), db(pool_timeout=10)),
    ("pool-timeout-unusual", WARNING, db(pool_timeout=31), db(pool_timeout=30)),
    ("connect-timeout-too-long", WARNING, db(connect_timeout=8.1), db(connect_timeout=8)),
    ("connect-timeout-too-long", WARNING, db(connect_timeout=8.1), db(connect_timeout=8.1, ping_timeout=1)),
    ("connect-timeout-too-long", WARNING, db(client_timeout=5, connect_timeout=5), db(client_timeout=5)),
    ("statement-timeout-without-effect", WARNING, url("sqlite:///x", statement_timeout=5), url("sqlite:///x")),
    ("command-timeout-off", WARNING, db(command_timeout=None), db(profile="background-worker")),
    ("command-timeout-too-short", WARNING, db(command_timeout=30), db(command_timeout=31)),
    ("recycle-zero", ERROR, db(pool_recycle=0), db(pool_recycle=1)),
    ("recycle-after-cut", WARNING, url(NEON, pool_recycle=300), url(NEON, pool_recycle=299)),
    ("recycle-after-cut", WARNING, url(NEON, pool_recycle=-1), url(NEON)),
    ("recycle-off", INFO, db(pool_recycle=-1), db(pool_recycle=9999)),
    ("keepalive-after-cut", WARNING, url(NEON, tcp_keepalive=300), url(NEON, tcp_keepalive=299)),
    ("keepalive-after-cut", WARNING, url(NEON, tcp_keepalive=None), db(tcp_keepalive=None)),
    ("ping-after-cut", WARNING, url(NEON, ping_after=300), url(NEON, ping_after=299)),
    ("ping-after-cut", WARNING, url(NEON, ping_after=300), db(ping_after=300)),
    ("ping-timeout-too-long", WARNING, db(ping_timeout=6), db(ping_timeout=5)),
    ("pre-ping-off", WARNING, db(pool_pre_ping=False), url("sqlite:///x", pool_pre_ping=False)),
    ("retry-budget-large", WARNING, db(retry_budget=0.6), db(retry_budget=0.5)),
    ("retry-budget-large", WARNING, db(retry_budget=0.6), db(retry_budget=0.6, retry_attempts=1)),
    ("retry-attempts-many", WARNING, db(retry_attempts=11), db(retry_attempts=10)),
    ("threads-exceed-pool", INFO, url(PYMYSQL), url(PSYCOPG)),
    ("threads-exceed-pool", WARNING, url(PYMYSQL, thread_limit=21), url(PYMYSQL, thread_limit=20)),
    ("threads-exceed-pool", WARNING, url(PSYCOPG, thread_limit=21), db(thread_limit=21)),
    ("engine-option-is-a-setting", ERROR, db(engine_options={"pool_size": 3}), db(engine_options={"future": True})),
]  # fmt: skip


def found(given: Given, environ: dict[str, str] | None = None) -> dict[str, Severity]:
    return {finding.code: finding.severity for finding in DatabaseSettings(**given).examine(environ or {}).findings}


@pytest.mark.parametrize(("code", "severity", "bad", "good"), CASES)
def test_a_finding_shows_where_it_has_to_and_only_there(code, severity, bad, good):
    assert found(bad).get(code) is severity
    assert code not in found(good)


def test_the_environment_tells_a_serverless_process_from_a_service():
    assert found(db(), LAMBDA) == {"queue-pool-in-serverless": WARNING}
    assert found(db(), CLOUD_RUN) == {"queue-pool-in-serverless": WARNING}
    assert found(db(instances=2), CLOUD_RUN) == {}
    assert found(db(), {"AWS_LAMBDA_FUNCTION_NAME": ""}) == {}
    assert found(bouncer(pool="null"), LAMBDA) == {}
    assert "null-pool-in-service" in found(bouncer(pool="null"))


def test_every_finding_has_a_case_here(finding_codes):
    elsewhere = {
        "queue-pool-in-serverless",
        "variable-misspelt",
        "setting-not-valid",
        "setting-unknown",
        "setting-missing",
        "sync-driver-in-async-engine",
        "async-driver-in-sync-engine",
    }
    assert finding_codes == {case[0] for case in CASES} | elsewhere


def test_the_page_tells_the_severity_of_each_finding():
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    for code, severity, _, _ in CASES:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{code}` |")]
        assert severity in row.split("|")[2], row


def test_every_finding_says_what_was_seen_why_it_matters_and_what_to_do():
    for _, _, bad, _ in CASES:
        for finding in DatabaseSettings(**bad).examine({}).findings:
            assert all((finding.code, finding.subject, finding.seen, finding.why, finding.fix)), finding
            assert not finding.fix.endswith((".", "?")), finding


def test_errors_come_first():
    order = [finding.severity for finding in DatabaseSettings(**db(
        pool_recycle=0, pool_pre_ping=False, max_idle=60, engine_options={"pool_size": 1},
    )).examine({}).findings]  # fmt: skip
    assert order == [ERROR, ERROR, WARNING, INFO]


def test_the_fix_for_a_url_without_driver_is_the_url_to_write_without_its_password():
    (finding,) = DatabaseSettings(url="postgres://reader:hush@db:5433/shop?x=1").examine({}).findings
    assert "postgresql+asyncpg://reader:***@db:5433/shop?x=1" in finding.fix
    assert "postgresql+psycopg://reader:***@db:5433/shop?x=1" in finding.fix


def test_the_budget_names_the_largest_pool_that_fits():
    given = db(max_connections=103, workers=2, instances=4)
    (finding,) = DatabaseSettings(**given).examine({}).findings
    assert "2 workers x 4 instances x 20 connections = 160" in finding.seen
    assert "10 per process" in finding.fix
    assert found({**given, "pool_size": 10}) == {}


def test_where_everything_is_reserved_no_pool_fits():
    given = db(max_connections=2, reserved_connections=3, pool_size=1, max_overflow=0)
    findings = {finding.code: finding for finding in DatabaseSettings(**given).examine({}).findings}
    assert findings["pool-budget-exceeded"].fix == "Put a pooler in front, or run fewer processes"
