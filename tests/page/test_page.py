"""What the page tells, and under which circumstances."""

import asyncio
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import httpx
import pytest
from tests.page.apps import PATH, app_with_page, release
from tests.servers import FreshDatabase
from tests.service.served import Served, serve, wait_until

from poolkeeper import Database, Replica
from poolkeeper.fastapi.page import Page
from poolkeeper.model import Finding, Severity
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

ROOT = Path(__file__).parents[2]
FILES = ("/", "/page.js", "/page.css", "/icon.svg", "/data")


def data_of(served: Served) -> dict:
    answer = httpx.get(f"{served.url}{PATH}/data", timeout=10)
    assert answer.status_code == 200
    return answer.json()


def in_background(served: Served, path: str) -> threading.Thread:
    thread = threading.Thread(target=httpx.get, args=(served.url + path,), kwargs={"timeout": 30})
    thread.start()
    return thread


def test_an_exhausted_pool_is_shown_with_its_holders(fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.url(), pool_size=2, min_idle=0)
    with serve(app_with_page(database)) as served:
        threads = [in_background(served, "/reports/20"), in_background(served, "/payments/20")]
        wait_until(lambda: database.snapshot().in_use == 2)
        threads.append(in_background(served, "/orders/7"))
        wait_until(lambda: database.snapshot().waiting == 1)
        [worker] = data_of(served)["workers"]
        release(served, fresh_database)
        for thread in threads:
            thread.join()
    assert worker["pool"]["in_use"] == worker["pool"]["capacity"] == 2
    assert worker["pool"]["waiting"] == 1
    assert {holder["route"] for holder in worker["holders"]} == {"GET /reports/{seconds}", "GET /payments/{seconds}"}


def test_nothing_secret_is_in_any_answer(postgres: EmbeddedPostgres, fresh_database: FreshDatabase) -> None:
    role = f"keeper_{fresh_database.name}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'correct-horse'")
    tail = fresh_database.url().rpartition("@")[2]
    database = Database(
        f"postgresql+asyncpg://{role}:correct-horse@{tail}",
        connect_args={"server_settings": {"application_name": "battery-staple"}},
        min_idle=0,
    )
    with serve(app_with_page(database)) as served:
        thread = in_background(served, "/reports/21.2345")
        wait_until(lambda: bool(database.snapshot().holders))
        wait_until(lambda: bool(fresh_database.activity("state = 'active'")))
        httpx.get(f"{served.url}/orders/424242")
        texts = [httpx.get(f"{served.url}{PATH}{path}").text for path in FILES]
        release(served, fresh_database)
        thread.join()
    postgres.execute(f"DROP ROLE {role}")
    for secret in ("correct-horse", "battery-staple", role, tail, "424242", "1.2345", "hunter2-literal"):
        assert not any(secret in text for text in texts), secret


def test_it_renders_while_the_database_is_down() -> None:
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", warm_up_timeout=0, min_idle=1)
    with serve(app_with_page(database)) as served:
        wait_until(lambda: database.snapshot().connect_trouble is not None)
        answers = [httpx.get(f"{served.url}{PATH}{path}") for path in FILES]
        [worker] = data_of(served)["workers"]
    assert [answer.status_code for answer in answers] == [200] * len(FILES)
    assert worker["trouble"]["kind"] == "refused"
    assert "secret" not in json.dumps(worker)


def test_it_renders_while_the_database_is_silent_and_everybody_waits(fresh_database: FreshDatabase) -> None:
    server = fresh_database.server
    with FaultProxy(server.host, server.port) as proxy:
        database = Database(proxy.url(fresh_database.url()), pool_size=1, min_idle=0, connect_timeout=10)
        proxy.accept_and_hang()
        with serve(app_with_page(database)) as served:
            threads = [in_background(served, "/orders/1") for _ in range(3)]
            wait_until(lambda: database.snapshot().waiting == 3)
            [worker] = data_of(served)["workers"]
            proxy.heal()
            proxy.reset()
            for thread in threads:
                thread.join()
    assert worker["pool"]["waiting"] == 3


def test_looking_takes_no_connection(fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.url(), min_idle=0)
    with serve(app_with_page(database)) as served:
        for path in FILES * 3:
            httpx.get(f"{served.url}{PATH}{path}")
        assert fresh_database.activity() == []
        assert database.snapshot().opened == 0


def test_findings_and_settings_are_told() -> None:
    finding = Finding("leak", Severity.WARNING, "GET /leaks", "seen", "why", "fix", figures={"held": 3.0})
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", pool_size=7, min_idle=0)
    with serve(app_with_page(database, findings=lambda: [finding])) as served:
        data = data_of(served)
    assert data["workers"][0]["findings"] == [finding.as_dict()]
    settings = {setting["name"]: setting for setting in data["settings"]}
    assert settings["pool_size"] == {"name": "pool_size", "value": "7", "origin": "argument", "default": False}
    assert settings["url"]["value"] == "postgresql+asyncpg"


def test_a_diagnosis_that_fails_does_not_take_the_page_with_it(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", min_idle=0)
    with serve(app_with_page(database, findings=lambda: [1 / 0])) as served:
        answers = [data_of(served) for _ in range(3)]
    assert [answer["workers"][0]["findings"] for answer in answers] == [None] * 3
    assert caplog.text.count("the diagnosis failed") == 1


def test_the_schema_does_not_know_the_page() -> None:
    app = app_with_page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none"))
    assert "poolkeeper" not in json.dumps(app.openapi())


def test_the_page_is_reached_without_its_slash_below_any_prefix() -> None:
    app = app_with_page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", min_idle=0))
    with serve(app) as served:
        answer = httpx.get(served.url + PATH, follow_redirects=True)
    assert answer.url == f"{served.url}{PATH}/"
    assert answer.history[0].headers["Location"] == "poolkeeper/"


@pytest.mark.parametrize("path", ["", "/", "poolkeeper", "/poolkeeper/"])
def test_a_path_that_would_take_everything_is_refused(path: str) -> None:
    app = app_with_page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none"))
    with pytest.raises(ValueError, match="path"):
        Page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")).routes(path, app)


@pytest.mark.anyio
async def test_a_websocket_is_turned_away() -> None:
    app = app_with_page(Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none"))
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": f"{PATH}/data", "headers": [], "root_path": "", "query_string": b""}
    await app(scope, asyncio.Queue().get, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.slow
def test_the_wheel_brings_the_files(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, check=True
    )
    [wheel] = tmp_path.glob("*.whl")
    folder = "poolkeeper/fastapi/page"
    expected = {f"{folder}/{name}" for name in ("index.html", "page.js", "page.css", "icon.svg")}
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_replicas_are_shown_without_their_hosts() -> None:
    nobody = "postgresql+asyncpg://reader:secret@127.0.0.1:1/none"
    replicas = [Replica(nobody, name="big", weight=2, pool_size=7), nobody]
    database = Database(nobody, replicas=replicas, warm_up_timeout=0, min_idle=0)
    with serve(app_with_page(database)) as served:
        wait_until(lambda: {str(replica.standing) for replica in database.replicas} == {"unreachable"})
        told = data_of(served)
        [worker] = told["workers"]
        shown = {setting["name"]: setting["value"] for setting in told["settings"]}
    big, other = worker["replicas"]
    assert worker["primary"] == "primary"
    assert (big["name"], big["weight"], big["standing"], big["capacity"]) == ("big", 2, "unreachable", 7)
    assert (other["name"], other["role"], other["lag"], other["is_primary"]) == ("replica-2", None, None, False)
    assert "127.0.0.1" not in json.dumps(worker["replicas"])
    assert (shown["replica_urls"], shown["replica_weights"]) == ("2", "none")
