from __future__ import annotations

import pytest
from sqlalchemy import exc, make_url
from tests.drivers.conftest import KINDS, Kind

from poolkeeper.drivers import driver_for, known_drivers
from poolkeeper.facts.drivers import DRIVERS


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_url_finds_its_driver(kind: Kind) -> None:
    driver = driver_for(make_url(f"{kind.dialect}+{kind.name}://host/db"), is_async=kind.is_async)
    assert driver.is_async is kind.is_async


@pytest.mark.parametrize("name", ["aiomysql", "asyncmy"])
def test_mariadb_urls_use_the_mysql_drivers(name: str) -> None:
    assert driver_for(make_url(f"mariadb+{name}://host/db"), is_async=True).is_async


@pytest.mark.parametrize("is_async", [True, False])
def test_sqlite_needs_no_driver_in_its_url(is_async: bool) -> None:
    assert driver_for(make_url("sqlite:///:memory:"), is_async=is_async).is_async is is_async


@pytest.mark.parametrize(
    ("url", "is_async"),
    [
        ("postgresql+psycopg2://host/db", False),
        ("postgresql+pg8000://host/db", False),
        ("postgresql+asyncpg://host/db", False),
        ("mysql+pymysql://host/db", True),
        ("oracle://host/db", False),
        ("nonsense://host/db", True),
    ],
)
def test_an_unknown_driver_is_refused_with_the_known_ones(url: str, is_async: bool) -> None:
    with pytest.raises(exc.ArgumentError) as refused:
        driver_for(make_url(url), is_async=is_async)
    for known in known_drivers(is_async=is_async):
        assert known in str(refused.value)


def test_the_refusal_shows_no_password() -> None:
    with pytest.raises(exc.ArgumentError) as refused:
        driver_for(make_url("oracle+cx://user:hunter2@host/db"), is_async=True)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("is_async", [True, False])
def test_settings_and_drivers_know_the_same_names(is_async: bool) -> None:
    accepted = {kind.name for kind in DRIVERS.values() if (kind.supports_async if is_async else kind.supports_sync)}
    assert {name.partition("+")[2] for name in known_drivers(is_async=is_async)} == accepted
