"""What MariaDB's sessions, limits and timeouts look like, with the PROCESS privilege and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import NullPool, create_engine, text
from tests.server.sessions import Connect, one, see_until, with_user
from tests.servers import FreshMariaDB, MariaDB

from poolkeeper.model import Ceiling
from poolkeeper.server import look

MakeUser = Callable[..., str]


@pytest.fixture
def url(fresh_mariadb: FreshMariaDB) -> str:
    fresh_mariadb.execute("CREATE TABLE item (id int PRIMARY KEY, stock int, note varchar(20)) ENGINE = InnoDB")
    fresh_mariadb.execute("INSERT INTO item VALUES (1, 10, '')")
    return fresh_mariadb.url("pymysql")


@pytest.fixture
def user(fresh_mariadb: FreshMariaDB, url: str) -> Iterator[Callable[..., str]]:
    """Makes users that only this test uses, and returns their URL."""
    made: list[str] = []

    def make(name: str, options: str = "", grant: str = "") -> str:
        made.append(f"'{name}_{fresh_mariadb.name}'@'127.0.0.1'")
        fresh_mariadb.execute(f"CREATE USER {made[-1]} IDENTIFIED BY 'x' {options}")
        fresh_mariadb.execute(f"GRANT ALL ON {fresh_mariadb.name}.* TO {made[-1]}")
        if grant:
            fresh_mariadb.execute(f"GRANT {grant} ON *.* TO {made[-1]}")
        return with_user(url, f"{name}_{fresh_mariadb.name}", "x")

    yield make
    for name in made:
        fresh_mariadb.execute(f"DROP USER {name}")


def test_a_transaction_that_sleeps_is_told_from_a_session_that_does(url: str, connect: Connect) -> None:
    busy, free = connect(url), connect(url)
    busy.execute("UPDATE item SET stock = 7 WHERE id = 1")
    # InnoDB renews its list of transactions every 0.1 s.
    facts = see_until(url, lambda facts: one(facts, busy.id).in_transaction)
    session = one(facts, busy.id)
    assert (session.state, session.wait) == ("idle in transaction", "Client/ClientRead")
    assert session.in_transaction
    assert (session.client, session.user) == ("127.0.0.1", "keeper")
    assert session.state_seconds is not None
    assert session.transaction_seconds is not None
    # The server knows of the beginning in whole seconds.
    assert session.state_seconds < session.transaction_seconds + 1 < 60
    assert (one(facts, free.id).state, one(facts, free.id).transaction_seconds) == ("idle", None)


@pytest.mark.parametrize("grant", ["ALL", "PROCESS"])
def test_a_row_lock_names_who_holds_it(url: str, connect: Connect, user: MakeUser, grant: str) -> None:
    first, second = connect(url), connect(url)
    first.execute("UPDATE item SET stock = 1 WHERE id = 1")
    second.begin_to_execute("UPDATE item SET stock = 2, note = \"secret\" WHERE id = 1 AND note <> 'x'")
    facts = see_until(user("looker", grant=grant), lambda facts: one(facts, second.id).blocked_by)
    waiting = one(facts, second.id)
    assert (waiting.state, waiting.wait, waiting.blocked_by) == ("active", "Lock/row", (first.id,))
    assert waiting.statement == "UPDATE item SET stock = ?, note = ? WHERE id = ? AND note <> ?"
    root = facts.root_of(waiting)
    assert root == one(facts, first.id)
    assert root.in_transaction


def test_a_wait_for_a_table_is_told_without_who_has_it(url: str, connect: Connect) -> None:
    first, migration = connect(url), connect(url)
    first.execute("SELECT * FROM item")
    migration.begin_to_execute("ALTER TABLE item ADD hint int")
    facts = see_until(url, lambda facts: one(facts, migration.id).wait)
    assert one(facts, migration.id).wait == "Lock/metadata"
    assert one(facts, migration.id).blocked_by == ()


def test_ages_do_not_depend_on_the_time_zone_of_the_session(url: str, connect: Connect) -> None:
    client = connect(url)
    client.execute("UPDATE item SET stock = 7 WHERE id = 1")
    see_until(url, lambda facts: one(facts, client.id).in_transaction)
    with create_engine(url, poolclass=NullPool).connect() as connection:
        connection.execute(text("SET time_zone = '+09:00'"))
        seconds = one(look(connection, None), client.id).transaction_seconds
    assert seconds is not None
    assert seconds < 60


def test_without_the_process_privilege_what_is_not_seen_is_counted(
    url: str, connect: Connect, user: MakeUser, mariadb: MariaDB
) -> None:
    # What other tests have left behind would be counted.
    mariadb.kill_connections()
    app = user("app")
    ours = connect(app)
    ours.execute("SELECT 1")
    theirs = [connect(url) for _ in range(2)]
    everything = see_until(url, lambda facts: facts.ordinary.used == 3)
    assert everything.unseen == 0
    assert {session.id for session in everything.sessions} == {ours.id, *(client.id for client in theirs)}
    facts = see_until(app, lambda facts: facts.ordinary.used == 3)
    assert facts.ordinary == everything.ordinary == Ceiling(100, 3)
    assert [session.id for session in facts.sessions] == [ours.id]
    # Theirs are not seen, and of ours not whether it is in a transaction.
    assert facts.unseen == 3
    assert one(facts, ours.id).state is None
    ours.begin_to_execute("SELECT sleep(0.5)")
    facts = see_until(app, lambda facts: one(facts, ours.id).state == "active" and facts.ordinary.used == 3)
    assert facts.unseen == 2
    assert one(facts, ours.id).wait == "Timeout/Sleep"


def test_limits_of_the_account_and_sessions_in_the_database(url: str, connect: Connect, user: MakeUser) -> None:
    app = user("app", "WITH MAX_USER_CONNECTIONS 4")
    connect(app)
    connect(app)
    connect(url)
    facts = see_until(app, lambda facts: facts.role.used == 2)
    assert facts.role == Ceiling(4, 2)
    facts = see_until(url, lambda facts: facts.database.used == 3)
    assert facts.database == Ceiling(None, 3)
    assert facts.role.limit is None


def test_timeouts_and_what_the_server_is(url: str) -> None:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        connection.execute(text("SET max_statement_time = 1.5, innodb_lock_wait_timeout = 7"))
        facts = look(connection, None)
        assert connection.scalar(text("SELECT @@max_statement_time")) == 1.5
    assert facts.timeouts["max_statement_time"] == 1.5
    assert facts.timeouts["innodb_lock_wait_timeout"] == 7.0
    assert facts.timeouts["wait_timeout"] == 28800.0
    assert facts.timeouts["idle_transaction_timeout"] is None
    assert "max_execution_time" not in facts.timeouts
    assert (facts.kind, facts.in_recovery) == ("mariadb", False)
    assert "MariaDB" in facts.version
