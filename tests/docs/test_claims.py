"""What the pages name exists: commands, options, links, Python names, settings, and the numbers in their tables."""

import asyncio
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import text
from sqlalchemy.pool import Pool, QueuePool
from tests.docs.pages import PAGES, ROOT, blocks, inline_code, name_of, prose, table_rows
from uvicorn import main as uvicorn_command

from poolkeeper import (
    CommandTimeout,
    CommitUnknown,
    ConnectFailed,
    ConnectFailure,
    Database,
    DatabaseSettings,
    PoolClosed,
    PoolSaturated,
)
from poolkeeper.cli.app import app as command_line
from poolkeeper.fastapi.problems import problem_of
from poolkeeper.model import CloseReason
from poolkeeper.pool import KeeperPool
from poolkeeper.testing import EmbeddedPostgres, FaultProxy

README = ROOT / "README.md"
LIFE = ROOT / "docs/life-of-a-connection.md"
POOL_GUIDE = ROOT / "docs/guides/pool.md"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def commands_of(page: Path) -> Iterable[list[str]]:
    lines = [line for block in blocks(page) if block.info == "sh" for line in block.code.splitlines()]
    programs = ("make ", "poolkeeper ", "pip install ", "uvicorn ")
    for line in [*lines, *(code for code in inline_code(page) if code.startswith(programs))]:
        yield shlex.split(line, comments=True)


@each_page
def test_every_command_exists(page: Path) -> None:
    for program, *arguments in commands_of(page):
        match program:
            case "make":
                assert arguments[0] in TARGETS
                for argument in arguments[1:]:
                    assert argument.startswith("ARGS="), argument
                    check_poolkeeper([arguments[0], *shlex.split(argument.removeprefix("ARGS="))])
            case "poolkeeper":
                check_poolkeeper(arguments)
            case "pip":
                check_extras(arguments)
            case "uvicorn":
                check_options(arguments, options_of(uvicorn_command))
            case _:
                pytest.fail(f"a command that this test does not know: {program} {arguments}")


def check_poolkeeper(arguments: list[str]) -> None:
    group: Any = typer.main.get_command(command_line)
    command = group.get_command(None, arguments[0])
    assert command is not None, arguments
    check_options(arguments[1:], options_of(command))


def check_options(arguments: list[str], known: set[str]) -> None:
    given = {argument.split("=")[0] for argument in arguments if argument.startswith("--")}
    assert given <= known


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def check_extras(arguments: list[str]) -> None:
    for extras in re.findall(r"\[(.*?)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= set(PYPROJECT["project"]["optional-dependencies"])


@each_page
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@each_page
def test_every_name_of_ours_can_be_imported(page: Path) -> None:
    for name in re.findall(r"\bpoolkeeper(?:\.\w+)+", "\n".join(inline_code(page))):
        assert found(name.split(".")), name


def found(parts: list[str]) -> bool:
    for split in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            value = getattr(value, part, None)  # type: ignore[assignment]
        return value is not None
    return False


@each_page
def test_every_environment_variable_is_one_of_ours(page: Path) -> None:
    fields = {f"DATABASE_{name.upper()}" for name in DatabaseSettings.model_fields}
    fields.add("DATABASE_CONNECTION_POOL_URL")  # Heroku's
    assert set(re.findall(r"\bDATABASE_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8"))) <= fields


def test_the_readme_shows_the_defaults_of_the_full_table() -> None:
    full = {row[0]: row for row in table_rows(ROOT / "docs/settings.md", "Setting")}
    for name, variable, default, _ in table_rows(README, "Setting"):
        assert [name, variable, default] == [full[name][0], full[name][1], full[name][3]]


def test_the_readme_names_every_problem_with_its_retry_after() -> None:
    listed = {row[0].strip("`"): row for row in table_rows(README, "Problem")}
    cause = OSError()
    told = [ConnectFailed(reason, cause, "somewhere") for reason in ConnectFailure]
    for error in [*told, CommandTimeout(1, cause), CommitUnknown(cause), PoolClosed(), PoolSaturated("full")]:
        problem = problem_of(error)
        assert problem is not None
        row = listed.pop(problem.kind)
        assert row[1].removesuffix(" or more") == ("" if problem.retry_after is None else str(problem.retry_after))
        assert row[2] == f"`poolkeeper.{type(error).__name__}`"
    # Each of these is raised in a test of its own, through a real server.
    of_servers = {"statement-timeout", "connection-lost", "pooler-timeout", "pooler-without-server"}
    assert set(listed) == {"pool-timeout", *of_servers}


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_unit_of_work_takes_the_round_trips_of_the_table(postgres: EmbeddedPostgres, driver: str) -> None:
    table = {(row[0], row[1]): (int(row[2]), int(row[3])) for row in table_rows(LIFE, "Driver")}
    with FaultProxy(postgres.host, postgres.port) as proxy:
        for column, ping_after in enumerate((60, 0)):
            database = Database(proxy.url(postgres.url(driver)), pool_size=1, ping_after=ping_after)
            for name in ("session", "read_session"):
                turns = [await turns_of(database, name, proxy) for _ in range(4)]
                # The first ones open the connection and prepare the statement.
                assert turns[-1] == table[driver, f"`{name}()`"][column], (name, ping_after, turns)
            await database.close()


async def turns_of(database: Database, session: str, proxy: FaultProxy) -> int:
    proxy.reset_counters()
    async with getattr(database, session)() as opened:
        await opened.execute(text("SELECT 1"))
    return proxy.counters.turns


@pytest.mark.anyio
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("session", ["session", "read_session"])
async def test_an_idle_connection_whose_peer_fell_silent_costs_a_request_the_ping_timeout_and_no_more(
    postgres: EmbeddedPostgres, driver: str, session: str
) -> None:
    with FaultProxy(postgres.host, postgres.port) as proxy:
        settings = {"command_timeout": 0.3, "statement_timeout": None, "min_idle": 0, "ping_after": 0}
        database = Database(proxy.url(postgres.url(driver)), **settings)
        await turns_of(database, session, proxy)
        proxy.drop("existing")
        async with asyncio.timeout(10):
            assert await turns_of(database, session, proxy) > 0
        await database.close()


@each_page
def test_no_page_names_an_issue_or_a_place_of_one_machine(page: Path) -> None:
    assert not re.findall(r"(?:^|\s)#\d+\b|[\s(`]/(?:home|root|work|tmp)/", page.read_text(encoding="utf-8"))


def test_the_pool_guide_shows_every_argument_of_the_pool_with_its_default() -> None:
    parameters = inspect.signature(KeeperPool.__init__).parameters
    stock = {"self", "kw"} | set(inspect.signature(QueuePool.__init__).parameters)
    stock |= set(inspect.signature(Pool.__init__).parameters)
    own = {f"`{name}`": str(parameter.default) for name, parameter in parameters.items() if name not in stock}
    assert {row[0]: row[1] for row in table_rows(POOL_GUIDE, "Argument")} == own


def test_the_pool_guide_names_every_reason_for_closing() -> None:
    named = set(inline_code(POOL_GUIDE))
    assert {reason.value for reason in CloseReason} <= named


def test_the_pool_guide_is_right_about_what_its_errors_are() -> None:
    for name, base, _ in table_rows(POOL_GUIDE, "Error"):
        if not name.startswith("`"):
            continue
        module, _, error = name.strip("`").rpartition(".")
        bases = [ancestor.__name__ for ancestor in getattr(import_module(module), error).__mro__]
        assert base.strip("`").rpartition(".")[2] in bases
