from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.database.stores import store
from tests.server.sessions import Connect, clients
from tests.servers import FreshDatabase, left_after_a_moment

from poolkeeper.testing import EmbeddedPostgres

__all__ = ["store"]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with clients() as connect_client:
        yield connect_client


@pytest.fixture
def role(fresh_database: FreshDatabase) -> Iterator[Callable[..., str]]:
    """Makes roles that only this test uses: role("app", "CONNECTION LIMIT 5")."""
    made: list[str] = []

    def make(name: str, options: str = "") -> str:
        made.append(f"{name}_{fresh_database.name}")
        fresh_database.execute(f"CREATE ROLE {made[-1]} LOGIN {options}")
        return made[-1]

    yield make
    for name in made:
        fresh_database.execute(f"DROP OWNED BY {name}")
        fresh_database.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="session")
def _small_server() -> Iterator[EmbeddedPostgres]:
    settings = {"superuser_reserved_connections": "2", "reserved_connections": "1"}
    with EmbeddedPostgres(max_connections=8, settings=settings) as server:
        server.execute("CREATE ROLE app LOGIN")
        yield server


@pytest.fixture
def small_server(_small_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """A PostgreSQL with five slots for ordinary roles, one for privileged ones and two for superusers, all free."""
    assert left_after_a_moment(_small_server.activity) == []
    return _small_server
