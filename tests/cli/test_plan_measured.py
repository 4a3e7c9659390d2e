"""`poolkeeper plan` on what it measures, and the files that it writes."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.cli.test_plan import EXAMPLE, TWO_SERVICES, Run, run  # noqa: F401 - a fixture
from tests.servers import FreshDatabase
from tests.service.served import Served, serve

from poolkeeper import Database
from poolkeeper.fastapi import Keeper
from poolkeeper.testing import EmbeddedPostgres

SECRET = "hush4711"


def shop(url: str) -> FastAPI:
    database = Database(url, name="shop", service="shop", pool_size=4, min_idle=1)
    keeper, app = Keeper(database), FastAPI()

    @app.get("/work")
    async def work(session: Annotated[AsyncSession, keeper.write]) -> int:
        await session.execute(text("SELECT pg_sleep(0.02)"))
        return 1

    keeper.install(app)
    return app


@contextmanager
def load(served: Served) -> Iterator[None]:
    """Two callers, one request after the other."""
    over = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=served.url) as client:
            while not over.is_set():
                assert client.get("/work").status_code == 200

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()


def planned(stdout: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(stdout)
    return found


def peak(stdout: str, service: str = "shop") -> float:
    (queue, *_) = planned(stdout)["services"][service]["queues"]  # type: ignore[index]
    return float(queue["checkouts_per_second"])


@pytest.mark.slow
def test_a_running_service_is_measured_through_its_metrics(run: Run, fresh_database: FreshDatabase) -> None:  # noqa: F811
    with serve(shop(fresh_database.url())) as served, load(served):
        done = run("--from", f"{served.url}/metrics", "--over", "1s", "--pods", "3", "--json")
    assert "note: measured over 1" in done.stderr
    # Two callers whose requests hold a connection for 20 ms and more, three times over.
    assert 3 < peak(done.stdout) <= 300
    assert float(done.stderr.partition("checkouts/s of ")[2].partition("ms")[0]) >= 20


def test_a_saved_scrape_tells_the_mean_since_the_start(run: Run, fresh_database: FreshDatabase) -> None:  # noqa: F811
    with serve(shop(fresh_database.url())) as served:
        for _ in range(3):
            httpx.get(f"{served.url}/work")
        scrape = httpx.get(f"{served.url}/metrics").text
    Path("scrape.txt").write_text(scrape)
    started = next(float(line.split()[1]) for line in scrape.splitlines() if line.startswith("process_start_time_s"))
    os.utime("scrape.txt", (started + 10, started + 10))
    done = run("--from", "scrape.txt", "--json", "--client-timeout", "2s")
    assert peak(done.stdout) == pytest.approx(0.3)
    assert "the peak is higher" in done.stderr
    assert "used 3 times" in done.stderr
    # What the user says wins over what was measured.
    assert peak(run("--from", "scrape.txt", "--rps", "40", "--json").stdout) == 40


def test_what_a_file_says_of_the_service_stays(run: Run, fresh_database: FreshDatabase) -> None:  # noqa: F811
    with serve(shop(fresh_database.url())) as served:
        httpx.get(f"{served.url}/work")
        Path("scrape.txt").write_text(httpx.get(f"{served.url}/metrics").text)
    os.utime("scrape.txt")
    Path("plan.toml").write_text(TWO_SERVICES + '[services.shop]\nrps = 1\nhold = "1s"\nhold_p99 = "2s"\npods = 5\n')
    done = run("plan.toml", "--from", "scrape.txt", "--json")
    found = planned(done.stdout)
    assert set(found["services"]) == {"orders", "search", "shop"}
    rule = next(
        one
        for one in found["rules"]
        if one["about"] == "shop" and "workers" in one["name"]  # type: ignore[index]
    )
    assert rule["formula"].startswith("5 pods")  # type: ignore[index]


def test_a_server_tells_its_limits_and_its_clients(run: Run, postgres: EmbeddedPostgres, fresh_database) -> None:  # noqa: F811
    fresh_database.may_leave_backends = True
    # A client of somebody else's, on the same machine as the server.
    with psycopg.connect(fresh_database.url("psycopg").replace("+psycopg", "")):
        done = run("--rps", "40", "--hold", "50ms", "--url", fresh_database.url("psycopg"), "--json")
    formula = planned(done.stdout)["budget"]["server"]["limit"]["formula"]  # type: ignore[index]
    assert formula.startswith("100 max_connections - 3 reserved")
    assert " - 1 of others - " in formula
    assert "note: postgresql 18" in done.stderr
    assert (f"which has {os.cpu_count()} cores" in done.stderr) is Path("/proc/self/comm").exists()
    # The role may have less than the server.
    role = f"few_{os.getpid()}"
    postgres.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 7")
    try:
        url = make_url(fresh_database.url("psycopg")).set(username=role).render_as_string(hide_password=False)
        done = run("--rps", "40", "--hold", "50ms", "--url", url, "--json")
    finally:
        postgres.execute(f"DROP ROLE {role}")
    assert planned(done.stdout)["budget"]["server"]["limit"]["formula"].startswith("7 max_connections - 0 reserved")  # type: ignore[index]
    assert "the limit of the role 7" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "nothing.txt"], "nothing.txt: No such file"),
        (["--from", "http://127.0.0.1:1/metrics", "--over", "1s"], "cannot be reached"),
        (["--from", "http://127.0.0.1:1/metrics", "--over", "10"], "--over is '10'"),
        (["--from", "http://127.0.0.1:1/metrics", "--over", "0s"], "at most an hour"),
        (["--from", "http:///metrics"], "name a host"),
        (["--from", "plan.html"], "line 1 is no metric of Prometheus"),
        (["--from", "plan.html", "--over", "5s"], "--over is for a URL"),
        (["--from", "plan.html", "--pods", "none"], "line 1 is no metric"),
        (["--from", "binary"], "it is no text"),
        (["--over", "5s", *EXAMPLE], "--from, which is missing"),
        (["--header", "no colon", "--from", "plan.html"], "Name: value"),
        (["--url", f"postgresql://me:{SECRET}@127.0.0.1:1/shop", *EXAMPLE], "127.0.0.1:1/shop"),
        (["--url", "sqlite+aiosqlite:///shop.db", *EXAMPLE], "SQLite has no server"),
        (["--url", "nonsense", *EXAMPLE], "url"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_error(run: Run, arguments: list[str], told: str) -> None:  # noqa: F811
    Path("plan.html").write_text("<!doctype html>")
    Path("binary").write_bytes(b"\x80\xff")
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert SECRET not in done.stderr


# Files


@pytest.mark.slow
def test_a_page_pictures_and_pgbouncers_files_are_written_once(run: Run) -> None:  # noqa: F811
    files = ["--html", "plan.html", "--png", "pictures", "--pgbouncer", "pooler"]
    done = run(*EXAMPLE, "--name", "orders", *files)
    assert done.returncode == 0
    written = {line.removeprefix("written: ") for line in done.errors if line.startswith("written: ")}
    pictures = {"pictures/deploy.png", "pictures/load-orders.png", "pictures/hold-orders.png"}
    assert written == {
        *pictures,
        "plan.html",
        "pooler/pgbouncer.ini",
        "pooler/userlist.txt",
        "pooler/orders.env",
    }
    assert all(Path(name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert Path("pooler/userlist.txt").stat().st_mode & 0o077 == 0
    assert "DATABASE_POOL_SIZE=6" in Path("pooler/orders.env").read_text()
    before = {path: path.read_bytes() for path in map(Path, written)}
    for option in (["--html", "plan.html"], ["--png", "pictures"], ["--pgbouncer", "pooler"]):
        refused = run(*EXAMPLE, "--name", "orders", *option)
        assert refused.returncode == 2
        assert "it exists already, and stays as it is" in refused.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_one_file_in_the_way_and_none_is_written(run: Run) -> None:  # noqa: F811
    Path("pooler").mkdir()
    Path("pooler/userlist.txt").write_text('"orders" "mine"\n')
    assert run(*EXAMPLE, "--pgbouncer", "pooler").returncode == 2
    assert [path.name for path in Path("pooler").iterdir()] == ["userlist.txt"]


def test_pgbouncers_file_names_the_server_of_the_url_and_no_password(run: Run, postgres: EmbeddedPostgres) -> None:  # noqa: F811
    url = make_url(postgres.url("psycopg")).set(password=SECRET).render_as_string(hide_password=False)
    done = run("--rps", "40", "--hold", "50ms", "--name", "orders", "--url", url, "--pgbouncer", "pooler")
    ini = Path("pooler/pgbouncer.ini").read_text()
    assert f"orders = host={postgres.host} port={postgres.port} dbname=postgres " in ini
    everything = "".join(path.read_text() for path in Path("pooler").iterdir()) + done.stdout + done.stderr
    assert SECRET not in everything


def test_where_not_even_pgbouncer_helps_that_is_said(run: Run) -> None:  # noqa: F811
    done = run("--rps", "1500", "--hold", "50ms", "--pods", "20", "--pgbouncer", "pooler", "--json")
    assert done.returncode == 1
    assert "PgBouncer does not help: 76 server connections are needed" in done.stderr
    assert not Path("pooler").exists()
