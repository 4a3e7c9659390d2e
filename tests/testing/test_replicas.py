"""Streaming replicas of the embedded PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from poolkeeper.testing import EmbeddedPostgres, EmbeddedPostgresError

pytestmark = pytest.mark.slow


@pytest.fixture
def primary() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(auth="scram-sha-256") as server:
        server.execute("CREATE TABLE t (x int)")
        yield server


def count(server) -> int:
    return int(server.query("SELECT count(*) FROM t")[0][0])


def test_a_replica_follows_refuses_writes_and_can_lag(primary) -> None:
    replica = primary.add_replica()
    primary.execute("INSERT INTO t VALUES (1)")
    replica.catch_up()
    assert count(replica) == 1
    with pytest.raises(EmbeddedPostgresError, match="read-only"):
        replica.execute("INSERT INTO t VALUES (2)")
    replica.pause_replay()
    primary.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(EmbeddedPostgresError, match="did not catch up"):
        replica.catch_up(timeout=0.2)
    assert count(replica) == 1
    replica.resume_replay()
    replica.catch_up()
    assert count(replica) == 2


def test_a_promoted_replica_takes_over_when_the_primary_is_dead(primary) -> None:
    replica = primary.add_replica()
    assert not replica.is_promoted
    primary.kill()
    replica.promote()
    assert replica.is_promoted
    replica.execute("INSERT INTO t VALUES (1)")
    replica.restart()
    assert count(replica) == 1


def test_a_replica_finds_its_primary_again_after_a_restart_of_either(primary) -> None:
    replica = primary.add_replica()
    primary.restart()
    primary.execute("INSERT INTO t VALUES (1)")
    replica.catch_up()
    replica.kill()
    primary.execute("INSERT INTO t VALUES (2)")
    replica.start()
    replica.catch_up()
    assert count(replica) == 2


def test_two_replicas_have_ports_of_their_own_and_end_with_their_primary(primary) -> None:
    one, two = primary.add_replica(), primary.add_replica()
    assert primary.replicas == (one, two)
    assert len({primary.port, one.port, two.port}) == 3
    with psycopg.connect(two.dsn) as client:
        assert client.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    assert primary.activity() == [], "replication connections are no clients"
    primary.close()
    assert not one.is_running
    assert not two.is_running
