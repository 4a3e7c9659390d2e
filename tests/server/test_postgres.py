"""What PostgreSQL's sessions, limits and timeouts look like to a superuser, and to roles that may see less."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from sqlalchemy import NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from tests.server.sessions import Connect, one, see, see_until, with_user
from tests.servers import FreshDatabase

from poolkeeper.model import Ceiling
from poolkeeper.server import look
from poolkeeper.server.looks import STATEMENT_TIMEOUT
from poolkeeper.testing import EmbeddedPostgres

MakeRole = Callable[..., str]


@pytest.fixture
def url(fresh_database: FreshDatabase) -> str:
    fresh_database.execute("CREATE TABLE item (id int PRIMARY KEY, stock int)")
    fresh_database.execute("INSERT INTO item VALUES (1, 10)")
    return fresh_database.url("psycopg")


def named(url: str, application: str) -> str:
    return make_url(url).update_query_dict({"application_name": application}).render_as_string(hide_password=False)


def test_a_session_idle_in_a_transaction_waits_for_its_client(url: str, connect: Connect) -> None:
    client = connect(named(url, "billing"))
    client.execute("UPDATE item SET stock = 7 WHERE id = 1")
    session = one(see(url), client.id)
    assert (session.state, session.wait, session.application) == ("idle in transaction", "Client/ClientRead", "billing")
    assert session.in_transaction
    assert session.statement == "UPDATE item SET stock = ? WHERE id = ?"
    assert session.client == "127.0.0.1"
    assert session.user == "postgres"
    assert session.database == make_url(url).database
    assert session.blocked_by == ()
    assert session.state_seconds is not None
    assert session.transaction_seconds is not None
    assert 0 <= session.state_seconds <= session.transaction_seconds < 60


def test_a_row_lock_names_who_holds_it(url: str, connect: Connect) -> None:
    first, second, third = (connect(url) for _ in range(3))
    first.execute("UPDATE item SET stock = 1 WHERE id = 1")
    second.begin_to_execute("UPDATE item SET stock = 2 WHERE id = 1")
    see_until(url, lambda facts: one(facts, second.id).blocked_by)
    third.begin_to_execute("UPDATE item SET stock = 3 WHERE id = 1")
    facts = see_until(url, lambda facts: one(facts, third.id).blocked_by)
    assert one(facts, second.id).wait == "Lock/transactionid"
    assert one(facts, second.id).state == "active"
    assert one(facts, second.id).blocked_by == (first.id,)
    assert one(facts, third.id).wait == "Lock/tuple"
    assert one(facts, third.id).blocked_by == (second.id,)
    assert facts.root_of(one(facts, third.id)) == one(facts, first.id)
    assert facts.root_of(one(facts, first.id)) is None


@pytest.mark.parametrize("privileges", ["superuser", "pg_monitor", "ordinary"])
def test_a_queue_behind_ddl_leads_to_the_transaction_at_its_root(
    url: str, connect: Connect, role: MakeRole, privileges: str
) -> None:
    first, migration, reader = (connect(url) for _ in range(3))
    first.execute("SELECT * FROM item")
    migration.begin_to_execute("ALTER TABLE item ADD note text")
    see_until(url, lambda facts: one(facts, migration.id).blocked_by)
    reader.begin_to_execute("SELECT count(*) FROM item")
    see_until(url, lambda facts: one(facts, reader.id).blocked_by)
    options = {"superuser": "SUPERUSER", "pg_monitor": "IN ROLE pg_monitor", "ordinary": ""}[privileges]
    facts = see(with_user(url, role("looker", options)))
    assert one(facts, migration.id).blocked_by == (first.id,)
    assert one(facts, reader.id).blocked_by == (migration.id,)
    root = facts.root_of(one(facts, reader.id))
    assert root is not None
    assert root.id == first.id
    hidden = privileges == "ordinary"
    assert (root.state, root.statement) == ((None, None) if hidden else ("idle in transaction", "SELECT * FROM item"))
    assert one(facts, reader.id).wait == (None if hidden else "Lock/relation")


def test_the_look_itself_is_not_among_the_sessions(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection, engine.connect() as other:
        look(other, "another worker's look")
        facts = look(connection, "my look")
        name = connection.scalar(text("SELECT current_setting('application_name')"))
        ids = {connection.scalar(text("SELECT pg_backend_pid()")), other.scalar(text("SELECT pg_backend_pid()"))}
        assert name == "my look"
        assert not ids & {session.id for session in facts.sessions}
        connection.rollback()
        assert connection.scalar(text("SELECT current_setting('application_name')")) != "my look"


def test_a_look_leaves_the_connection_its_own_timeout(url: str) -> None:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        connection.execute(text("SET statement_timeout = '7s'"))
        connection.commit()
        look(connection, None)
        assert connection.scalar(text("SHOW statement_timeout")) == f"{STATEMENT_TIMEOUT:g}s"
        connection.rollback()
        assert connection.scalar(text("SHOW statement_timeout")) == "7s"


def test_the_server_ends_a_look_that_has_to_wait(url: str, connect: Connect) -> None:
    holder = connect(url)
    with create_engine(url, poolclass=NullPool).connect() as connection:
        look(connection, None)
        connection.rollback()
        holder.execute("LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DBAPIError, match="statement timeout"):
            look(connection, None, statement_timeout=0.1)
        holder.rollback()


def test_blind_to_what_an_ordinary_role_may_not_see(
    url: str, connect: Connect, role: MakeRole, postgres: EmbeddedPostgres
) -> None:
    # What other tests have left behind would be counted.
    postgres.terminate_backends()
    app, monitor = role("app"), role("monitor", "IN ROLE pg_monitor")
    ours = connect(named(with_user(url, app), "orders"))
    theirs = connect(named(url, "reports"))
    theirs.execute("SELECT 1")
    # Nobody else is connected to this server, but the last look may still be leaving.
    as_app, as_monitor, as_superuser = (
        see_until(looker, lambda facts: facts.ordinary.used == 2)
        for looker in (with_user(url, app), with_user(url, monitor), url)
    )
    assert as_monitor.unseen == as_superuser.unseen == 0
    assert as_app.unseen == 1
    assert one(as_app, ours.id).state == "idle"
    hidden, plain = one(as_app, theirs.id), one(as_superuser, theirs.id)
    assert (hidden.state, hidden.wait, hidden.statement, hidden.client) == (None, None, None, None)
    assert (hidden.user, hidden.database, hidden.application) == (plain.user, plain.database, "reports")
    assert as_app.ordinary == as_monitor.ordinary == as_superuser.ordinary
    assert as_app.database == as_superuser.database == Ceiling(None, 2)
    assert as_app.role == Ceiling(None, 1)


def test_limits_of_the_role_and_of_the_database(
    url: str, fresh_database: FreshDatabase, connect: Connect, role: MakeRole
) -> None:
    app, other = role("app", "CONNECTION LIMIT 3"), role("other")
    fresh_database.execute(f'ALTER DATABASE "{fresh_database.name}" CONNECTION LIMIT 4')
    for _ in range(2):
        connect(with_user(url, app))
    facts = see(with_user(url, app))
    assert (facts.role, facts.database) == (Ceiling(3, 2), Ceiling(4, 2))
    see_until(url, lambda facts: facts.database.used == 2)
    connect(with_user(url, other))
    facts = see(with_user(url, app))
    assert (facts.role, facts.database) == (Ceiling(3, 2), Ceiling(4, 3))
    assert not facts.role.is_reached
    see_until(url, lambda facts: facts.database.used == 3)
    connect(with_user(url, app))
    # Neither limit holds for a superuser, who can still look.
    facts = see_until(url, lambda facts: facts.database.used == 4)
    assert facts.database == Ceiling(4, 4)
    assert facts.database.is_reached
    assert facts.role.limit is None


def test_ordinary_roles_get_what_is_not_reserved(small_server: EmbeddedPostgres, connect: Connect) -> None:
    url = with_user(small_server.url("psycopg"), "app")
    for _ in range(4):
        connect(url)
    facts = see(url)
    assert facts.ordinary == Ceiling(5, 4)
    assert not facts.ordinary.is_reached
    see_until(small_server.url("psycopg"), lambda facts: facts.ordinary.used == 4)
    connect(url)
    with pytest.raises(DBAPIError, match="remaining connection slots are reserved"):
        see(url)
    assert see_until(small_server.url("psycopg"), lambda facts: facts.ordinary.used == 5).ordinary.is_reached


def test_timeouts_are_those_that_the_services_sessions_have(
    url: str, fresh_database: FreshDatabase, role: MakeRole
) -> None:
    app = role("app")
    fresh_database.execute(f"ALTER ROLE {app} SET idle_in_transaction_session_timeout = '1min'")
    fresh_database.execute(f'ALTER DATABASE "{fresh_database.name}" SET lock_timeout = 1500')
    target = make_url(with_user(url, app)).update_query_dict({"options": "-c statement_timeout=30s"})
    assert see(target.render_as_string(hide_password=False)).timeouts == {
        "statement_timeout": 30.0,
        "lock_timeout": 1.5,
        "idle_in_transaction_session_timeout": 60.0,
        "idle_session_timeout": None,
        "transaction_timeout": None,
    }


def test_a_look_is_two_statements(url: str) -> None:
    statements: list[str] = []
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        look(connection, None)
    assert len(statements) == 2


def test_what_the_server_is(url: str) -> None:
    facts = see(url)
    assert (facts.kind, facts.in_recovery, facts.pooler) == ("postgresql", False, None)
    assert facts.version.startswith("18.")


@pytest.mark.slow
def test_a_standby_says_so_and_an_older_server_lacks_some_settings() -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(EmbeddedPostgres(version="16"))
        replica = primary.add_replica()
        facts = see(replica.url("psycopg"))
        assert facts.in_recovery is True
        assert facts.version.startswith("16.")
        assert "transaction_timeout" not in facts.timeouts
        # The stream to the standby is no client.
        assert see_until(primary.url("psycopg"), lambda facts: facts.ordinary.used == 0).sessions == ()
