"""`poolkeeper demo` as a user runs it: a process, its output, its exit code, and what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.servers import FreshDatabase, FreshMariaDB

MARK = "POOLKEEPER_TEST_RUN"
TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
)


@dataclass
class Run:
    """A place of its own for one run of the command, where everything that it leaves behind is found."""

    folder: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
        return kept | {"TMPDIR": str(self.folder / "tmp"), MARK: self.mark}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "poolkeeper", "demo", *arguments],
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder / "here",
            env=self.environment | options,
        )

    def finish(self, *arguments: str, **environment: str) -> tuple[int, str]:
        with self.start(*arguments, **environment) as process:
            output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "out.json").read_text())
        return found

    def processes(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(" ".join(process.cmdline()))
        return found

    def left_behind(self) -> list[str]:
        """Processes and files; the ends of processes may take a moment to be seen."""
        deadline = time.monotonic() + 10
        while (processes := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return processes + [str(path) for place in ("tmp", "here") for path in (self.folder / place).iterdir()]


@pytest.fixture
def run() -> Iterator[Run]:
    # Not one of pytest's folders: the embedded PostgreSQL may not run as root and has to reach its files.
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir()
    (folder / "here").mkdir()
    yield Run(folder)
    shutil.rmtree(folder)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came: {seen}")


def test_demo_runs_on_a_postgresql_of_its_own_and_leaves_nothing(run: Run) -> None:
    code, output = run.finish("--for", "2", "--json", str(run.folder / "out.json"))
    assert code == 0, output
    figures = run.figures()
    assert (figures["requests"], figures["errors"]) == (120, 0)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert figures["pool"]["capacity"] == 20
    assert figures["money_kept"] is True
    assert figures["database"]["kind"] == "postgresql"
    assert {"poolkeeper", "sqlalchemy", "fastapi", "python"} <= set(figures["versions"])
    assert "/docs" in output
    assert "requests/s" in output
    assert "\x1b" not in output
    assert run.left_behind() == []


@pytest.mark.slow
def test_demo_runs_on_a_sqlite_file_and_leaves_nothing(run: Run) -> None:
    code, output = run.finish("--sqlite", "--for", "2", "--rate", "40", "--json", str(run.folder / "out.json"))
    assert code == 0, output
    assert run.figures()["requests"] == 80
    assert run.figures()["database"]["kind"] == "sqlite"
    assert run.left_behind() == []


@pytest.mark.slow
def test_several_workers_serve_and_leave_nothing(run: Run) -> None:
    code, output = run.finish("--workers", "2", "--for", "2", "--json", str(run.folder / "out.json"))
    assert code == 0, output
    assert run.figures()["errors"] == 0
    assert run.figures()["pool"]["workers"] == 2
    assert run.figures()["pool"]["capacity"] == 40
    assert run.left_behind() == []


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
    ids=lambda number: number.name,
)
def test_a_signal_ends_the_run_in_good_order(run: Run, number: signal.Signals) -> None:
    with run.start("--json", str(run.folder / "out.json")) as process:
        seen = read_until(process, "requests/s")
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, seen + rest
    assert "Traceback" not in rest
    assert run.figures()["errors"] == 0
    assert run.left_behind() == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["starting", "database", "service"])
def test_a_signal_at_any_moment_of_the_start_leaves_nothing(run: Run, moment: str) -> None:
    with run.start() as process:
        seen = read_until(process, moment)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, seen + rest
    assert "Traceback" not in rest
    assert run.left_behind() == []


def test_a_second_signal_does_not_wait_for_a_start_that_hangs(run: Run) -> None:
    """The database accepts and never answers: without the second signal this would take the connect timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+asyncpg://me@127.0.0.1:{silent.getsockname()[1]}/shop"
        with run.start("--url", url, DATABASE_CONNECT_TIMEOUT="60") as process:
            silent.settimeout(30)
            peer, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=30)
            peer.close()
    assert process.returncode == 0, rest
    assert "stopped before the load began" in rest
    assert run.left_behind() == []


@pytest.mark.slow
def test_impatience_does_not_interrupt_the_clearing_up(run: Run) -> None:
    with run.start() as process:
        read_until(process, "requests/s")
        for _ in range(20):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert run.left_behind() == []


@pytest.mark.slow
def test_no_process_outlives_a_killed_demo(run: Run) -> None:
    with run.start("--workers", "2") as process:
        read_until(process, "requests/s")
        assert len(run.processes()) > 5
        process.kill()
        process.communicate(timeout=60)
    assert run.left_behind() == []


@pytest.mark.slow
def test_a_service_that_dies_is_an_error_with_its_log(run: Run) -> None:
    with run.start("--sqlite") as process:
        read_until(process, "requests/s")
        (server,) = [
            found for found in psutil.process_iter(["cmdline"]) if is_server_of(found, run.mark, found.info["cmdline"])
        ]
        server.kill()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 1, rest
    assert "the service ended during the load" in rest
    assert "Application startup complete" in rest
    assert "Traceback" not in rest
    assert run.left_behind() == []


def is_server_of(process: psutil.Process, mark: str, command: list[str] | None) -> bool:
    with suppress(psutil.Error):
        return (command or [])[1:3] == ["-m", "uvicorn"] and process.environ().get(MARK) == mark
    return False


@pytest.mark.slow
def test_a_database_of_the_users_own_keeps_what_it_had(run: Run, fresh_database: FreshDatabase) -> None:
    fresh_database.execute("CREATE TABLE customers (id int); INSERT INTO customers VALUES (7)")
    url = fresh_database.url("psycopg")
    code, output = run.finish("--url", url, "--for", "2", "--json", str(run.folder / "out.json"))
    assert code == 0, output
    assert "tables     poolkeeper_demo_" in output
    assert run.figures()["requests"] == 120
    assert fresh_database.query(TABLES) == [("customers",)]
    assert fresh_database.query("SELECT id FROM customers") == [("7",)]
    assert run.left_behind() == []


@pytest.mark.slow
def test_an_interrupted_run_drops_its_tables_too(run: Run, fresh_database: FreshDatabase) -> None:
    with run.start("--url", fresh_database.url()) as process:
        read_until(process, "requests/s")
        assert len(fresh_database.query(TABLES)) == 4
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert fresh_database.query(TABLES) == []


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
def test_demo_runs_on_mariadb(run: Run, fresh_mariadb: FreshMariaDB, driver: str) -> None:
    arguments = ["--for", "2", "--workers", "2", "--json", str(run.folder / "out.json")]
    code, output = run.finish("--url", fresh_mariadb.url(driver), *arguments)
    assert code == 0, output
    assert fresh_mariadb.server.PASSWORD + "@" not in output
    assert run.figures()["database"]["kind"] == "mariadb"
    assert fresh_mariadb.query("SHOW TABLES") == []


@pytest.mark.slow
def test_an_unreachable_database_is_an_error_without_a_password(run: Run, closed_port: int) -> None:
    code, output = run.finish("--url", f"postgresql+asyncpg://me:hush4711@127.0.0.1:{closed_port}/shop")
    assert code == 1
    assert "could not connect" in output
    assert "refused" in output
    assert "hush4711" not in output
    assert "Traceback" not in output
    assert run.left_behind() == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--url", "sqlite+aiosqlite:///x", "--sqlite"], marks=pytest.mark.slow),
        ["--url", "postgresql://me:hush4711@127.0.0.1/shop"],
        pytest.param(["--url", "hush4711"], marks=pytest.mark.slow),
        pytest.param(["--rate", "0"], marks=pytest.mark.slow),
        pytest.param(["--workers", "0"], marks=pytest.mark.slow),
        pytest.param(["--for", "soon"], marks=pytest.mark.slow),
        ["--json", "/nowhere/at/all/out.json"],
        pytest.param(["--what"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_bad_usage_is_2_and_starts_nothing(run: Run, arguments: list[str]) -> None:
    code, output = run.finish(*arguments)
    assert code == 2, output
    assert "hush4711" not in output
    assert "Traceback" not in output
    assert run.left_behind() == []


def on_a_terminal(run: Run, *arguments: str, **environment: str) -> str:
    ours, its = pty.openpty()
    process = run.start(*arguments, stdout=its, COLUMNS="100", TERM="xterm", **environment)
    os.close(its)
    seen = b""
    with suppress(OSError):
        while chunk := os.read(ours, 65536):
            seen += chunk
    os.close(ours)
    assert process.wait(60) == 0, seen
    return seen.decode()


@pytest.mark.slow
def test_a_terminal_gets_a_table_that_stays_in_place(run: Run) -> None:
    shown = on_a_terminal(run, "--sqlite", "--for", "3")
    assert "capacity" in shown
    assert "ends after 3 s" in shown
    assert "\x1b[" in shown


@pytest.mark.slow
def test_no_color_on_a_terminal_means_plain_lines(run: Run) -> None:
    shown = on_a_terminal(run, "--sqlite", "--for", "2", NO_COLOR="1")
    assert "requests/s" in shown
    assert "\x1b" not in shown
