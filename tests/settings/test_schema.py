from __future__ import annotations

import pytest

from poolkeeper.settings import DatabaseSettings, OriginKind, SettingsRefused

URL = "postgresql+asyncpg://u:p@db/shop"


def refused(**given: object) -> dict[str, str]:
    with pytest.raises(SettingsRefused) as error:
        DatabaseSettings(**{"url": URL, **given}).resolve({})
    return {finding.subject: str(finding) for finding in error.value.findings}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool_size", -5),
        ("pool_size", 0),
        ("pool_size", 2.5),
        ("pool_size", "many"),
        ("pool_size", True),
        ("pool_size", None),
        ("pool_size", ""),
        ("max_overflow", -1),
        ("pool_timeout", 0),
        ("pool_timeout", -1),
        ("pool_timeout", "1h"),
        ("pool_timeout", "10s"),
        ("pool_timeout", float("nan")),
        ("pool_timeout", float("inf")),
        ("pool_timeout", "inf"),
        ("pool_timeout", True),
        ("pool_recycle", -2),
        ("pool_recycle", 0),
        ("pool_recycle", "1h"),
        ("pool_pre_ping", "maybe"),
        ("pool_pre_ping", 2),
        ("statement_timeout", 0),
        ("command_timeout", -1),
        ("tcp_keepalive", 0),
        ("client_timeout", "soon"),
        ("expected_hold", 0),
        ("profile", "fast"),
        ("provider", "my-cloud"),
        ("pool", "static"),
        ("max_connections", 0),
        ("connect_args", "[1]"),
        ("connect_args", "{"),
        ("service", ""),
        ("replica_urls", "nonsense"),
        ("replica_weights", "2,many"),
        ("replica_weights", "1,0"),
        ("replica_weights", [True]),
        ("enforce_read_only", "both"),
        ("url", "nonsense"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(name, value):
    found = refused(**{name: value})
    assert {subject.partition(".")[0] for subject in found} == {name}


def test_all_problems_are_told_at_once_with_value_rule_and_fix():
    found = refused(pool_size=-5, pool_timeout="1h", profile="fast", pool_szie=3, client_timeout=0.05)
    assert "pool_size = -5" in found["pool_size"]
    assert "at least 1" in found["pool_size"]
    assert "Correct pool_size" in found["pool_size"]
    assert "'1h'" in found["pool_timeout"]
    assert "without a unit" in found["pool_timeout"]
    assert "'bounded'" in found["profile"]
    assert "pool_size" in found["pool_szie"]
    # Also what only shows once the values are put together.
    assert "expected_hold" in found["client_timeout"]


def test_the_errors_of_environment_and_arguments_are_told_together(monkeypatch):
    monkeypatch.setenv("DATABASE_POOL_SIZE", "twenty")
    found = refused(pool_timeout=-1)
    assert "DATABASE_POOL_SIZE = 'twenty'" in found["pool_size"]
    assert "pool_timeout = -1" in found["pool_timeout"]


def test_a_missing_url_is_told_with_an_example():
    with pytest.raises(SettingsRefused, match="Set DATABASE_URL, for example"):
        DatabaseSettings()


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_false_from_the_environment_is_false(monkeypatch, text):
    monkeypatch.setenv("DATABASE_POOL_PRE_PING", text)
    assert DatabaseSettings(url=URL).resolve({}).pool_pre_ping is False


def test_every_setting_can_come_from_the_environment(monkeypatch):
    given = {
        "url": URL,
        "replica_urls": "postgresql+asyncpg://u@a/d, postgresql+asyncpg://u@c/d\npostgresql+asyncpg://u@e/d",
        "replica_weights": "1, 2.5,1",
        "profile": "small-api",
        "provider": "pgbouncer-session",
        "pool_size": "7",
        "pool_timeout": "12.5",
        "statement_timeout": "none",
        "tcp_keepalive": "none",
        "connect_args": '{"ssl": "require"}',
        "echo": "true",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"DATABASE_{name.upper()}", value)
    settings = DatabaseSettings().resolve({})
    assert settings.pool_size == 7
    assert settings.pool_timeout == 12.5
    assert settings.statement_timeout is None
    assert settings.tcp_keepalive is None
    assert settings.connect_args == {"ssl": "require"}
    assert settings.echo is True
    assert [replica.host for replica in settings.replica_urls] == ["a", "c", "e"]
    assert settings.replica_weights == (1, 2.5, 1)
    assert settings.shown()["replica_weights"] == [1, 2.5, 1]
    assert {settings.origins[name].kind for name in given} == {OriginKind.ENVIRONMENT}
    assert str(settings.origins["pool_size"]) == "environment DATABASE_POOL_SIZE"


def test_an_argument_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("DATABASE_POOL_SIZE", "7")
    settings = DatabaseSettings(url=URL, pool_size=9).resolve({})
    assert settings.pool_size == 9
    assert settings.origins["pool_size"].kind is OriginKind.ARGUMENT


def test_a_broken_variable_does_not_matter_where_an_argument_replaces_it(monkeypatch):
    monkeypatch.setenv("DATABASE_POOL_SIZE", "many")
    assert DatabaseSettings(url=URL, pool_size=9).pool_size == 9


def test_variables_of_other_tools_are_left_alone(monkeypatch):
    environ = {"DATABASE_NAME": "x", "DATABASE_HOST": "x", "DATABASE_PASSWORD": "x", "DATABASE_USER": "x"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert DatabaseSettings(url=URL).resolve().findings == ()


def test_a_misspelt_variable_is_told_with_the_name_that_was_meant(monkeypatch):
    monkeypatch.setenv("DATABASE_POOL_SZIE", "7")
    (finding,) = DatabaseSettings(url=URL).resolve().findings
    assert (finding.code, finding.subject) == ("variable-misspelt", "DATABASE_POOL_SZIE")
    assert "DATABASE_POOL_SIZE" in finding.fix


def test_settings_cannot_be_changed_after_the_start():
    settings = DatabaseSettings(url=URL)
    with pytest.raises(Exception, match="frozen"):
        settings.pool_size = 3
    with pytest.raises(AttributeError):
        settings.resolve({}).pool_size = 3


def test_another_database_has_another_prefix(monkeypatch):
    monkeypatch.setenv("REPORTS_URL", "postgresql+asyncpg://u:p@reports/shop")
    monkeypatch.setenv("REPORTS_POOL_SIZE", "7")
    monkeypatch.setenv("REPORTS_POOL_TIMOUT", "7")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "9")
    settings = DatabaseSettings(_env_prefix="REPORTS_").resolve()
    assert (settings.url.host, settings.pool_size) == ("reports", 7)
    assert str(settings.origins["pool_size"]) == "environment REPORTS_POOL_SIZE"
    assert [finding.subject for finding in settings.findings] == ["REPORTS_POOL_TIMOUT"]
    monkeypatch.setenv("REPORTS_POOL_SIZE", "x")
    with pytest.raises(SettingsRefused, match="REPORTS_POOL_SIZE = 'x'"):
        DatabaseSettings(_env_prefix="REPORTS_")


def test_a_file_may_hold_more_than_our_variables(tmp_path):
    file = tmp_path / ".env"
    file.write_text(f"DATABASE_URL={URL}\nOTHER=1\nDATABASE_NAME=x\nDATABASE_POOL_SIZE=7\n", encoding="utf-8")
    assert DatabaseSettings(_env_file=file).resolve({}).pool_size == 7


def test_the_settings_of_a_larger_application_may_hold_ours():
    class Larger(DatabaseSettings):
        colour: str = "blue"

    settings = Larger(URL, colour="red", pool_size=7)
    assert settings.colour == "red"
    assert settings.resolve({}).pool_size == 7


def test_no_replicas_in_the_environment_are_none(monkeypatch):
    monkeypatch.setenv("DATABASE_REPLICA_URLS", "")
    monkeypatch.setenv("DATABASE_REPLICA_WEIGHTS", "")
    settings = DatabaseSettings(URL)
    assert (settings.replica_urls, settings.replica_weights) == ((), ())


def test_the_settings_have_a_json_schema():
    properties = DatabaseSettings.model_json_schema()["properties"]
    assert properties["url"]["format"] == "uri"
    assert properties["pool_size"]["minimum"] == 1


def test_the_url_may_stand_first():
    assert DatabaseSettings(URL).url.host == "db"
