from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.replicas.clusters import Cluster

from poolkeeper import Database
from poolkeeper.testing import EmbeddedPostgres


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    with EmbeddedPostgres(settings={"hot_standby_feedback": "off", "max_standby_streaming_delay": "100ms"}) as primary:
        primary.execute("CREATE TABLE note (id serial PRIMARY KEY, body text NOT NULL)")
        yield Cluster(primary, primary.add_replica(), primary.add_replica())


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """A primary with two streaming replicas and the empty table `note`; whatever a test did to them is undone."""
    _cluster.primary.execute("TRUNCATE note")
    _cluster.catch_up()
    try:
        yield _cluster
    finally:
        _cluster.mend()


@pytest.fixture(params=["asyncpg", pytest.param("psycopg", marks=pytest.mark.slow)])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_database(cluster: Cluster, driver: str) -> Callable[..., Database]:
    def make(**settings: object) -> Database:
        return cluster.database(driver, **settings)

    return make
