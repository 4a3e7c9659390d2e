"""The Python on each page runs, in the order of the page, and its app answers as the page says."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from tests.docs.pages import PAGES, ROOT, RUN_ELSEWHERE, Block, blocks, name_of
from tests.servers import FreshDatabase, FreshMariaDB
from tests.service.served import GENERATOR_ENDPOINTS, serve, wait_until
from websockets.sync.client import connect

from poolkeeper import PoolClosed


def test_the_readme(page_module: Callable[[str, str], ModuleType], notes: FreshDatabase) -> None:
    page = page_module("README.md", "asyncpg")

    async def confirm() -> None:
        async with page.db:
            await page.confirm(1)

    with serve(page.app) as served, httpx.Client(base_url=served.url) as client:
        assert client.post("/notes", params={"body": "first"}).status_code == 201
        assert client.get("/notes/count").json() == 1
        assert client.get("/health/ready").status_code == 200
    with serve(page.other_app) as served:
        assert httpx.get(f"{served.url}/health/db").json()["databases"].keys() == {"shop", "reports"}
    asyncio.run(confirm())
    assert notes.query("SELECT body FROM note") == [("first (confirmed)",)]


def test_the_fastapi_guide(page_module: Callable[[str, str], ModuleType], notes: FreshDatabase) -> None:
    page = page_module("docs/guides/fastapi.md", "psycopg")
    with serve(page.other_app) as served:
        assert httpx.get(f"{served.url}/health/ready").status_code == 200
    with serve(page.app) as served, httpx.Client(base_url=served.url) as client:
        made = client.post("/notes", params={"body": "first"})
        assert (made.status_code, made.json()["body"]) == (201, "first")
        assert client.get(f"/notes/{made.json()['id']}").json() == made.json()
        assert client.post("/sync-notes", params={"body": "on a thread"}).json()["body"] == "on a thread"
        an_error_rolls_back_and_a_response_commits(client)
        work_goes_on_after_a_commit(client)
        streams_arrive(client)
        a_websocket_keeps_each_message(served.port, notes)


def an_error_rolls_back_and_a_response_commits(client: httpx.Client) -> None:
    assert client.post("/raised/1001").status_code == 409
    assert client.get("/notes/1001").status_code == 404
    assert client.post("/returned/1002").status_code == 409
    assert client.get("/notes/1002").status_code == 200
    assert [client.put("/notes/1003").json() for _ in range(2)] == ["made", "there already"]


def work_goes_on_after_a_commit(client: httpx.Client) -> None:
    paid = client.post("/paid").json()
    assert client.get(f"/notes/{paid}").json()["body"] == "paid"
    confirmed = client.post("/confirmed").json()
    wait_until(lambda: client.get(f"/notes/{confirmed}").json()["body"] == "confirmed")


def streams_arrive(client: httpx.Client) -> None:
    exported = client.get("/export").text.splitlines()
    assert len(exported) >= 5
    if GENERATOR_ENDPOINTS:
        assert [line for line in client.get("/lines").text.splitlines() if line] == exported


def a_websocket_keeps_each_message(port: int, notes: FreshDatabase) -> None:
    with connect(f"ws://127.0.0.1:{port}/chat", proxy=None) as socket:
        socket.send("by websocket")
        assert socket.recv() == "kept"
    assert notes.query("SELECT count(*) FROM note WHERE body = 'by websocket'") == [("1",)]


def test_health_and_shutdown(page_module: Callable[[str, str], ModuleType]) -> None:
    page = page_module("docs/guides/health-and-shutdown.md", "asyncpg")
    with serve(page.app) as served:
        answers = [httpx.get(served.url + path).status_code for path in ("/livez", "/readyz", "/health/db")]
    assert answers == [200, 200, 404]


def test_the_pool_guide(
    page_module: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    page = page_module("docs/guides/pool.md", "asyncpg")

    async def switch_over() -> None:
        await page.switch_over(page.engine.pool)
        with pytest.raises(PoolClosed):
            await page.main()
        assert page.engine.pool.size() == 30
        await page.engine.dispose()

    asyncio.run(switch_over())


def test_the_replicas_guide(
    page_module: Callable[[str, str], ModuleType], notes: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither of these is in recovery, so that the primary does what the page shows.
    monkeypatch.setenv("REPLICA_URL", notes.url())
    monkeypatch.setenv("OTHER_REPLICA_URL", notes.url())
    monkeypatch.setenv("SIGNING_KEY", "sixteen characters or more")
    page = page_module("docs/guides/replicas.md", "asyncpg")

    async def messages() -> int:
        async with page.db:
            return await page.consume(await page.publish())

    with serve(page.app) as served, httpx.Client(base_url=served.url) as client:
        made = client.post("/notes", params={"body": "first"})
        assert "poolkeeper-position" in made.cookies
        assert client.get(f"/notes/{made.json()}").json() == "first"
        told = client.get("/health/db").json()["replicas"]
        assert [(each["name"], each["standing"]) for each in told] == [
            ("replica-1", "not-a-replica"),
            ("big", "not-a-replica"),
        ]
    assert asyncio.run(messages()) == 1


def test_the_retries_guide(page_module: Callable[[str, str], ModuleType], notes: FreshDatabase) -> None:
    page = page_module("docs/guides/retries.md", "asyncpg")
    notes.execute("CREATE TABLE payment (order_id text PRIMARY KEY, cents int NOT NULL)")

    async def use() -> tuple[int, str]:
        async with page.db:
            await page.pay_once()
            return await page.add_one(), await page.rename_one()

    assert asyncio.run(use()) == (1, "first")
    assert notes.query("SELECT body FROM note") == [("new",)]
    assert notes.query("SELECT * FROM payment") == [("order-1", "995")]


def test_the_failover_guide(
    page_module: Callable[[str, str], ModuleType], notes: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICA_URL", notes.url())
    page = page_module("docs/guides/failover.md", "asyncpg")

    async def nothing() -> None:
        pass

    async def switch() -> float:
        async with page.db:
            await page.switch_over(nothing)
            return await page.db.ping()

    assert asyncio.run(switch()) < 5


def test_the_guide_to_poolers_and_serverless(
    page_module: Callable[[str, str], ModuleType], notes: FreshDatabase
) -> None:
    notes.execute("CREATE TABLE orders (id int)")
    page = page_module("docs/guides/poolers-and-serverless.md", "asyncpg")
    assert page.db.settings.pooler == "transaction"
    answers = [page.handler({}, None) for _ in range(2)]
    assert answers == [{"statusCode": 200, "body": "0"}] * 2


def test_the_guide_to_passwords(page_module: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_module("docs/guides/rotating-passwords.md", "asyncpg")
    monkeypatch.setattr(page.Path, "read_text", lambda path: f"{path.name}\n")

    async def use() -> float:
        async with page.db:
            return await page.db.ping()

    assert asyncio.run(use()) < 5
    assert page.password() == "database"


def test_the_guide_to_tenants(page_module: Callable[[str, str], ModuleType], notes: FreshDatabase) -> None:
    notes.execute("CREATE TABLE every_invoice AS SELECT 1 AS id, 'a' AS tenant UNION ALL SELECT 2, 'b'")
    notes.execute(
        "CREATE VIEW invoice AS SELECT id FROM every_invoice WHERE tenant = current_setting('app.tenant', true)"
    )
    page = page_module("docs/guides/tenants.md", "asyncpg")

    async def use() -> list[list[int]]:
        async with page.db:
            return [await page.invoices_of(tenant) for tenant in "ab"]

    assert asyncio.run(use()) == [[1], [2]]
    page.tenant.set("a")
    assert page.settings_of_tenant() == {"app.tenant": "a"}


def test_the_guide_to_several_databases(
    page_module: Callable[[str, str], ModuleType],
    notes: FreshDatabase,
    fresh_mariadb: FreshMariaDB,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fresh_mariadb.execute("CREATE TABLE article (id int PRIMARY KEY, price int)")
    fresh_mariadb.execute("INSERT INTO article VALUES (7, 42)")
    notes.execute("CREATE TABLE line (article int, price int); CREATE TABLE article (id int, price int)")
    monkeypatch.setenv("LEGACY_URL", fresh_mariadb.url())
    monkeypatch.chdir(tmp_path)
    page = page_module("docs/guides/several-databases.md", "asyncpg")
    with serve(page.app) as served, httpx.Client(base_url=served.url) as client:
        assert client.post("/orders/7").status_code == 201
        assert set(client.get("/health/ready").json()["databases"]) == {"orders", "legacy", "cache"}
    asyncio.run(page.copy_articles())
    assert notes.query("SELECT * FROM line UNION ALL SELECT * FROM article") == [("7", "42")] * 2


def test_no_page_with_python_is_forgotten() -> None:
    with_python = {name_of(page) for page in PAGES if page not in RUN_ELSEWHERE and python_of(page)}
    assert with_python == {
        "README.md",
        "docs/guides/failover.md",
        "docs/guides/fastapi.md",
        "docs/guides/health-and-shutdown.md",
        "docs/guides/pool.md",
        "docs/guides/poolers-and-serverless.md",
        "docs/guides/replicas.md",
        "docs/guides/retries.md",
        "docs/guides/rotating-passwords.md",
        "docs/guides/several-databases.md",
        "docs/guides/tenants.md",
    }


def test_code_that_does_not_run_says_so_and_is_rare() -> None:
    infos = [block.info for page in PAGES for block in blocks(page)]
    assert set(infos) <= {"python", "python no-run", "sh", "json", "yaml"}
    assert infos.count("python no-run") <= 1


def python_of(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.info == "python"]


@pytest.fixture
def notes(fresh_database: FreshDatabase) -> FreshDatabase:
    fresh_database.execute("CREATE TABLE note (id bigserial PRIMARY KEY, body text NOT NULL)")
    return fresh_database


@pytest.fixture
def page_module(notes: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], ModuleType]:
    """Runs a page as one module, which FastAPI and pydantic can look names up in, on a database of its own."""

    def run(name: str, driver: str) -> ModuleType:
        monkeypatch.setenv("DATABASE_URL", notes.url(driver))
        monkeypatch.setenv("REPORTS_URL", notes.url(driver))
        page = ModuleType("a_page_of_the_documentation")
        monkeypatch.setitem(sys.modules, page.__name__, page)
        for block in python_of(ROOT / name):
            if "-> AsyncIterator[Note]" in block.code and not GENERATOR_ENDPOINTS:
                continue
            exec(compile("\n" * (block.line - 1) + block.code, ROOT / name, "exec"), vars(page))
        return page

    return run
