"""What happens to a server whose owner dies, and to what such an owner leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from poolkeeper.testing import EmbeddedPostgres
from poolkeeper.testing.postgres.folder import OwnedFolder, sweep
from poolkeeper.testing.postgres.processes import living_postmaster

pytestmark = pytest.mark.slow

OWNER = """
import sys, time
from poolkeeper.testing import EmbeddedPostgres
server = EmbeddedPostgres(*sys.argv[1:])
server.start()
print(server.data, server._watchdog._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def temp_folder(tmp_path_factory, monkeypatch) -> Path:
    """A temp folder of this test's own, so that other runs on this machine do not matter."""
    folder = tmp_path_factory.mktemp("temp")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


class Owner:
    """A python that owns a server and can be killed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", OWNER, *arguments], stdout=subprocess.PIPE, text=True)
        data, watchdog = self.process.stdout.readline().split()
        self.data, self.watchdog = Path(data), int(watchdog)
        self.postmaster = living_postmaster(self.data)

    def kill(self, *, with_watchdog: bool = False) -> None:
        if with_watchdog:
            os.kill(self.watchdog, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


def eventually(condition) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_killed_owner_takes_its_server_and_its_folder_along(temp_folder) -> None:
    owner = Owner()
    assert owner.postmaster is not None
    owner.kill()
    assert eventually(lambda: living_postmaster(owner.data) is None and not os.listdir(temp_folder))
    assert not is_alive(owner.postmaster)


def test_what_an_owner_left_whose_watchdog_died_too_is_swept_by_the_next_start(temp_folder) -> None:
    owner = Owner()
    owner.kill(with_watchdog=True)
    assert living_postmaster(owner.data) == owner.postmaster
    with EmbeddedPostgres() as server:
        assert os.listdir(temp_folder) == [server.folder.name]
    assert not is_alive(owner.postmaster)


def test_the_next_start_in_the_same_folder_ends_the_old_server_and_keeps_the_data(tmp_path) -> None:
    owner = Owner(str(tmp_path / "mine"))
    owner.kill(with_watchdog=True)
    assert living_postmaster(owner.data) == owner.postmaster
    with EmbeddedPostgres(tmp_path / "mine") as server:
        assert living_postmaster(server.data) != owner.postmaster
        assert not is_alive(owner.postmaster)
        assert server.query("SELECT 1") == [("1",)]


def test_sweeping_spares_folders_of_the_living_and_those_just_being_made(temp_folder) -> None:
    living = OwnedFolder()
    being_made = temp_folder / "poolkeeper-postgres-1-new"
    being_made.mkdir()
    stranger = temp_folder / "poolkeeper-something-else"
    stranger.mkdir()
    sweep()
    assert living.path.exists()
    assert being_made.exists()
    os.utime(being_made, (0, 0))
    living.close()
    sweep()
    assert os.listdir(temp_folder) == ["poolkeeper-something-else"]


def test_the_server_outlives_the_thread_that_started_it() -> None:
    server = EmbeddedPostgres()
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    time.sleep(0.1)
    assert server.query("SELECT 1") == [("1",)]
    server.close()


def test_an_owner_that_forgets_to_close_leaves_nothing(temp_folder) -> None:
    program = "from poolkeeper.testing import EmbeddedPostgres; EmbeddedPostgres().start()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    assert eventually(lambda: not os.listdir(temp_folder))


def is_alive(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
