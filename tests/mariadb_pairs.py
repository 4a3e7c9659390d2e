"""A real MariaDB with a replica that follows it by GTID. `tests/conftest.py` loads this file as a plugin too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.servers import MariaDB, find_program, left_after_a_moment, server_folder

from poolkeeper import Database

_LOGS = ("--log-bin=log", "--log-slave-updates", "--sync-binlog=0", "--innodb-buffer-pool-size=8M")
# What the app is given: it may ask who follows whom, and is bound by read_only.
APP = "app"
_GRANTS = (
    f"GRANT ALL ON notes.* TO '{APP}'@'127.0.0.1' IDENTIFIED BY '{APP}'",
    f"GRANT REPLICA MONITOR ON *.* TO '{APP}'@'127.0.0.1'",
)


@dataclass
class MariaDBPair:
    """A primary and its read-only replica. Both have the user `app` and the database `notes`, with the table `note`."""

    primary: MariaDB
    replica: MariaDB

    @property
    def servers(self) -> tuple[MariaDB, MariaDB]:
        return self.primary, self.replica

    def url(self, server: MariaDB, driver: str, user: str = APP) -> str:
        return f"mysql+{driver}://{user}:{user}@127.0.0.1:{server.port}/notes"

    def database(self, driver: str = "aiomysql", **settings: Any) -> Database:
        """Small pools; `replica-1` is the replica."""
        given = {"pool_size": 5, "min_idle": 1, "replicas": [self.url(self.replica, driver)], **settings}
        return Database(self.url(self.primary, driver), **given)

    def begin(self) -> None:
        """Make the replica follow, and the tables."""
        self.follow(self.replica, self.primary)
        for grant in _GRANTS:
            self.primary.execute(grant)
        self.primary.execute("CREATE DATABASE notes; CREATE TABLE notes.note (id int AUTO_INCREMENT PRIMARY KEY)")
        self.catch_up()

    def follow(self, replica: MariaDB, primary: MariaDB) -> None:
        where = f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary.port}"
        who = f"MASTER_USER = '{MariaDB.USER}', MASTER_PASSWORD = '{MariaDB.PASSWORD}'"
        how = "MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1"
        replica.execute(f"CHANGE MASTER TO {where}, {who}, {how}; START SLAVE")

    def turn_round(self) -> None:
        """Make the old primary follow the promoted replica, from what both have."""
        self.primary.execute("SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_binlog_pos")
        self.follow(self.primary, self.replica)

    def promote(self) -> None:
        """Make the replica a primary."""
        self.replica.execute("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0")

    def catch_up(self, seconds: float = 30) -> None:
        """Wait until the replica shows what the primary has."""
        [(position,)] = self.primary.query("SELECT @@gtid_binlog_pos")
        [(late,)] = self.replica.query(f"SELECT MASTER_GTID_WAIT('{position}', {seconds})")
        assert late == "0", self.replica.query("SHOW REPLICA STATUS")

    def mend(self) -> None:
        """Undo what a test did to them, as long as the replica was not promoted."""
        self.replica.execute("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 0, MASTER_USE_GTID = slave_pos; START SLAVE")

    def connections(self) -> list[int]:
        """The app's."""
        return [number for server in self.servers for number in server.connections(f"user <> '{MariaDB.USER}'")]


@pytest.fixture(scope="session")
def _mariadb_pair() -> Iterator[MariaDBPair]:
    with running_pair() as pair:
        yield pair


@pytest.fixture
def mariadb_pair(_mariadb_pair: MariaDBPair) -> Iterator[MariaDBPair]:
    """A primary and its replica, with the empty table `note`. Do not promote, stop or kill one: use `own_pair`."""
    _mariadb_pair.primary.execute("TRUNCATE notes.note")
    _mariadb_pair.catch_up()
    try:
        yield _mariadb_pair
        left = left_after_a_moment(_mariadb_pair.connections)
    finally:
        _mariadb_pair.mend()
    assert not left, f"the test left connections open: {left}"


@pytest.fixture
def own_pair() -> Iterator[MariaDBPair]:
    """The same for one test, which may do to them what it likes. Takes seconds to make."""
    with running_pair() as pair:
        yield pair


@contextmanager
def running_pair() -> Iterator[MariaDBPair]:
    find_program("mariadbd", "mariadb-server")
    with ExitStack() as stack:

        def server(number: int, *options: str) -> MariaDB:
            folder = stack.enter_context(server_folder(MariaDB.RUN_AS))
            made = stack.enter_context(closing(MariaDB(folder, f"--server-id={number}", *_LOGS, *options)))
            # Nobody needs its files any more, and an orderly end takes half a second.
            stack.callback(made.kill)
            return made

        pair = MariaDBPair(server(1), server(2, "--read-only"))
        for each in pair.servers:
            each.initialise()
            each.begin()
        for each in pair.servers:
            each.wait()
        pair.begin()
        yield pair
