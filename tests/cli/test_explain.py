"""`poolkeeper explain` as a user runs it, on running services and on a real server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import psycopg
import pytest
from tests.page.apps import app_with_page, release
from tests.page.test_page import in_background
from tests.servers import FreshDatabase
from tests.service.served import serve, wait_until

from poolkeeper import Database
from poolkeeper.cli import main
from poolkeeper.cli.server_sight import with_driver
from poolkeeper.cli.service_sight import data_url
from poolkeeper.model import Finding, Severity
from poolkeeper.testing.ports import ReservedPort

SECRET = "hush4711"
ERROR = Finding("leak", Severity.ERROR, "GET /leaks", "2 of 2 are held by nobody", "it ended", "Close it")


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command in this process."""
    for name in os.environ:
        if name.upper().startswith("DATABASE_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)

    def run(*arguments: str, **environ: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["poolkeeper", "explain", *arguments])
            with pytest.raises(SystemExit) as left:
                main()
        code = left.value.code
        done = Done(code if isinstance(code, int) else int(code is not None), *capsys.readouterr())
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done

    return run


@contextmanager
def answering(status: int, body: str, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """The address of something on HTTP, and the headers of the requests that it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def worker(pid: int, **more: Any) -> dict[str, Any]:
    """What a worker tells."""
    pool = {"name": "shop", "capacity": 2, "in_use": 2, "idle": 0, "waiting": 1, "oldest_waiter": 0.5}
    holder = {"task": "Task-7", "route": "GET /orders/{id}", "seconds": 3.25, "site": "shop.py:42 in place"}
    return {"pid": pid, "pool": pool, "unknown": [], "holders": [holder], "findings": [], **more}


def page(*workers: dict[str, Any]) -> str:
    return json.dumps({"format": 1, "workers": workers})


# A service


def test_a_healthy_service(explain: Callable[..., Done], fresh_database: FreshDatabase) -> None:
    with serve(app_with_page(Database(fresh_database.url(), min_idle=0, pool_size=3))) as served:
        done = explain(served.url)
    assert "0 of 3 in use, 0 idle, 0 waiting" in done.stdout
    assert done.stdout.rstrip().endswith("Nothing is wrong.")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_exhausted_pool_with_its_holders(explain: Callable[..., Done], fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.url(), pool_size=1, min_idle=0)
    with serve(app_with_page(database)) as served:
        threads = [in_background(served, "/payments/20")]
        wait_until(lambda: database.snapshot().in_use == 1)
        threads.append(in_background(served, "/orders/7"))
        wait_until(lambda: database.snapshot().waiting == 1)
        done, as_json = explain(served.url), explain(f"{served.url}/poolkeeper/", "--json")
        release(served, fresh_database)
        for thread in threads:
            thread.join()
    assert "1 of 1 in use, 0 idle, 1 waiting" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "GET /payments/{seconds}" in line and "AGE" not in line][:1]
    assert "apps.py" in line
    assert "in a gap" in line
    data = json.loads(as_json.stdout)
    assert data["workers"][0]["holders"][0]["route"] == "GET /payments/{seconds}"


def test_findings_are_shown_and_fail(explain: Callable[..., Done], fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.url(), min_idle=0)
    with serve(app_with_page(database, findings=lambda: (ERROR,))) as served:
        done, as_json = explain(served.url), explain(served.url, "--json")
    for said in ("error: leak (GET /leaks)", "2 of 2 are held by nobody", "fix:      Close it"):
        assert said in done.stdout
    assert "Nothing is wrong" not in done.stdout
    assert json.loads(as_json.stdout)["workers"][0]["findings"] == [ERROR.as_dict()]
    assert (done.returncode, as_json.returncode) == (1, 1)


def test_a_warning_does_not_fail(explain: Callable[..., Done]) -> None:
    warning = {**ERROR.as_dict(), "severity": "warning", "confidence": "likely", "unseen": ["the server"]}
    with answering(200, page(worker(1, findings=[warning]))) as (url, _):
        done = explain(url)
    assert "warning: leak (GET /leaks), likely" in done.stdout
    assert "not seen: the server" in done.stdout
    assert done.returncode == 0


def test_every_worker_is_shown(explain: Callable[..., Done]) -> None:
    with answering(200, page(worker(11), worker(12, findings=[ERROR.as_dict()], more_holders=7))) as (url, _):
        done = explain(url)
    assert done.stdout.index("worker 11") < done.stdout.index("worker 12") < done.stdout.index("and 7 more holders")
    assert done.returncode == 1


def test_a_diagnosis_that_failed_is_not_health(explain: Callable[..., Done]) -> None:
    with answering(200, page(worker(1, findings=None))) as (url, _):
        done = explain(url)
    assert "The diagnosis itself failed" in done.stdout
    assert "Nothing is wrong" not in done.stdout


def test_what_a_service_says_does_nothing_to_the_terminal(explain: Callable[..., Done]) -> None:
    holder = {"task": "a\x1b[2Jb\x07\x9b", "route": "[red]GET[/]", "seconds": 1.0}
    with answering(200, page(worker(1, holders=[holder]))) as (url, _):
        done = explain(url)
    assert not {"\x1b", "\x07", "\x9b"} & set(done.stdout)
    assert "[red]GET[/]" in done.stdout


def test_headers_and_credentials_are_sent(explain: Callable[..., Done]) -> None:
    with answering(200, page(worker(1))) as (url, got):
        explain(url, "--header", f"X-Token: {SECRET}")
        explain(url.replace("//", f"//me:{SECRET}@"))
    assert got[0]["X-Token"] == SECRET
    assert got[1]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "Not found", "answers 404"),
        (200, "<html>", "something else than JSON"),
        (200, "[]", "something else than JSON"),
        (200, "{}", "something else than the data of poolkeeper's page"),
        (200, page({"pid": 1}), "what this release does not know"),
        (200, page(worker(1, findings=[{"severity": "awful"}])), "what this release does not know"),
        (200, page(worker(1, holders=[{"task": 4}])), "what this release does not know"),
        (403, "Refused: not from this machine.\nadvice", "answers 403 Forbidden: Refused: not from this machine."),
        (302, "", "answers 302"),
    ],
)
def test_what_is_no_page_is_told_in_one_line(explain: Callable[..., Done], status: int, body: str, said: str) -> None:
    with answering(status, body, Location="http://127.0.0.1:9/") as (url, _):
        done = explain(url)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (done.returncode, done.stdout) == (2, "")


def test_a_service_that_is_not_there(explain: Callable[..., Done]) -> None:
    port = ReservedPort()
    done = explain(f"http://127.0.0.1:{port.number}")
    port.close()
    assert "cannot be reached" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("arguments", [["http://"], ["http://h", "--header", "nonsense"], ["--nonsense"], ["a", "b"]])
def test_a_wrong_command_line(explain: Callable[..., Done], arguments: list[str]) -> None:
    assert explain(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://h:8000", "http://h:8000/poolkeeper/data"),
        ("http://h:8000/", "http://h:8000/poolkeeper/data"),
        ("https://h/api", "https://h/api/poolkeeper/data"),
        ("http://h/poolkeeper", "http://h/poolkeeper/data"),
        ("http://h/admin/pool/data", "http://h/admin/pool/data"),
        ("http://me:secret@h/", "http://h/poolkeeper/data"),
        ("http://h:8000/poolkeeper/orders/", "http://h:8000/poolkeeper/orders/data"),
    ],
)
def test_where_the_data_is(given: str, url: str) -> None:
    assert data_url(given) == url


# A database


def test_a_server_says_who_is_connected(explain: Callable[..., Done], fresh_database: FreshDatabase) -> None:
    url = fresh_database.url("psycopg").replace("+psycopg", "")
    with psycopg.connect(url, application_name="billing") as connection:
        connection.execute("SELECT 1")
        done, as_json = explain(url), explain("--json", DATABASE_URL=url)
    assert "postgresql 18" in done.stdout
    (line,) = [line.split() for line in done.stdout.splitlines() if "billing" in line]
    assert line == ["billing", "1", "1", "idle", "in", "transaction"]
    assert "Nothing is wrong." in done.stdout
    server = json.loads(as_json.stdout)["server"]
    assert "billing" in {session["application"] for session in server["sessions"]}
    assert (done.returncode, as_json.returncode) == (0, 0)


def test_a_server_says_who_blocks_whom(explain: Callable[..., Done], fresh_database: FreshDatabase) -> None:
    fresh_database.execute("CREATE TABLE stock (id int)")
    url = fresh_database.url("psycopg").replace("+psycopg", "")

    def wait() -> None:
        with psycopg.connect(url, application_name="shop") as waiting, suppress(psycopg.Error):
            waiting.execute("SELECT * FROM stock WHERE id = 4711")

    with psycopg.connect(url, application_name="migration") as holding:
        holding.execute("LOCK TABLE stock")
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: bool(fresh_database.activity("wait_event_type = 'Lock'")))
        done = explain(fresh_database.url("asyncpg"))
    thread.join()
    (line,) = [line for line in done.stdout.splitlines() if "SELECT * FROM stock" in line]
    assert "(migration), idle in transaction for" in line
    assert "id = ?" in line
    assert "4711" not in done.stdout


def test_a_server_that_refuses_is_explained(explain: Callable[..., Done], fresh_database: FreshDatabase) -> None:
    role = f"{fresh_database.name}_role"
    fresh_database.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        done = explain(fresh_database.url().replace("postgres@", f"{role}:{SECRET}@"))
    finally:
        fresh_database.execute(f"DROP ROLE {role}")
    assert "too many connections for role" in done.stderr
    assert "role-limit" in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


def test_a_server_that_is_not_there(explain: Callable[..., Done]) -> None:
    port = ReservedPort()
    done = explain(f"postgresql+asyncpg://me:{SECRET}@127.0.0.1:{port.number}/shop")
    port.close()
    assert f"postgresql+asyncpg://me:***@127.0.0.1:{port.number}/shop: could not connect (refused)" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("url", ["sqlite:///x.db", "nonsense", f"oracle://me:{SECRET}@h/d", None])
def test_what_is_no_server(explain: Callable[..., Done], url: str | None) -> None:
    done = explain(*([] if url is None else [url]))
    assert done.stderr.startswith("error: ")
    assert done.returncode == 2


def test_a_url_without_a_driver_gets_one_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_driver("postgres://h/d") == "postgresql+psycopg://h/d"
    assert with_driver("mysql://h/d") == "mysql+pymysql://h/d"
    assert with_driver("postgresql+asyncpg://h/d") == "postgresql+asyncpg://h/d"
    monkeypatch.setattr("poolkeeper.cli.server_sight.find_spec", lambda name: None if name == "psycopg" else name)
    assert with_driver("postgresql://h/d") == "postgresql+asyncpg://h/d"


# Watching


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "poolkeeper", "explain", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_ctrl_c, **options)


def _hear_ctrl_c() -> None:
    # Where the tests run in the background of a shell, they and what they start are made deaf to it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_watching_ends_in_good_order(how: signal.Signals) -> None:
    with answering(200, page(worker(1))) as (url, got):
        process = start(url, "--watch", "--json", stdout=subprocess.PIPE)
        wait_until(lambda: len(got) == 2)
        process.send_signal(how)
        output, errors = process.communicate(timeout=10)
    lines = output.splitlines()
    assert lines
    assert all(json.loads(line)["workers"][0]["pid"] == 1 for line in lines)
    assert (process.returncode, errors) == (0, "")


def test_watching_needs_something_to_watch_first(explain: Callable[..., Done]) -> None:
    with answering(404, "") as (url, _):
        assert explain(url, "--watch").returncode == 2


@pytest.mark.slow
def test_watching_outlives_a_restart_and_repaints_a_terminal() -> None:
    terminal, end = pty.openpty()
    with answering(200, page(worker(1, findings=[ERROR.as_dict()]))) as (url, _):
        process = start(url, "--watch", stdout=end)
        os.close(end)
        shown = read(terminal, until="Close it")
    shown += read(terminal, until="cannot be reached")
    process.send_signal(signal.SIGINT)
    shown += read(terminal)
    _, errors = process.communicate(timeout=10)
    os.close(terminal)
    assert (process.returncode, errors) == (2, "")
    # The cursor is shown again.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def read(terminal: int, until: str | None = None) -> str:
    text, deadline = "", time.monotonic() + 10
    with suppress(OSError):
        while (until is None or until not in text) and time.monotonic() < deadline:
            text += os.read(terminal, 65536).decode()
    assert until is None or until in text, text
    return text
