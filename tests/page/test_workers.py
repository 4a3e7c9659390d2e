"""Worker processes that know of each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.servers import FreshDatabase
from tests.service.served import wait_until

from poolkeeper.drill import Service
from poolkeeper.observe import worker_folder
from poolkeeper.observe.worker_folder import Process, folder_of
from poolkeeper.observe.workers import WorkerFiles

HERE = Path(__file__).parent
OTHER = """
import pathlib, sys
from poolkeeper.observe.workers import WorkerFiles
files = WorkerFiles("shop", pathlib.Path(sys.argv[1]) if sys.argv[1:] else None)
files.start()
files.write({"pid": "other"})
print(len(files.read()), flush=True)
sys.stdin.read()
"""
SERVED = """
from fastapi import FastAPI
from poolkeeper import Database
from poolkeeper.fastapi import Keeper
app = FastAPI()
Keeper(Database.from_env(min_idle=0)).install(app)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "workers"


@pytest.fixture
def files(folder: Path) -> Iterator[WorkerFiles]:
    files = WorkerFiles("shop", folder)
    files.start()
    yield files
    files.stop()


def other(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def test_two_processes_see_each_other_until_one_leaves(files: WorkerFiles, folder: Path) -> None:
    files.write({"pid": "ours"})
    assert files.read() == []
    process = other(folder)
    assert files.read() == [{"pid": "other"}]
    process.communicate("")
    assert files.read() == []
    assert set(os.listdir(folder)) == {"asked", Process.current().file_name}


def test_what_a_killed_process_left_is_swept(files: WorkerFiles, folder: Path) -> None:
    process = other(folder)
    (folder / f"{process.pid}-1.json.half-written").write_text("{")
    process.kill()
    process.communicate()
    assert len(list(folder.glob(f"{process.pid}-*"))) == 2
    assert files.read() == []
    assert list(folder.glob(f"{process.pid}-*")) == []


def test_a_process_that_died_and_was_not_waited_for_is_dead(files: WorkerFiles, folder: Path) -> None:
    process = other(folder)
    process.kill()
    wait_until(lambda: files.read() == [])
    process.communicate()


def test_a_new_process_with_the_pid_of_a_dead_one_does_not_bring_it_back(files: WorkerFiles, folder: Path) -> None:
    (folder / f"{os.getppid()}-1.json").write_text("{}")
    assert files.read() == []


def test_where_start_times_are_not_known_an_old_file_counts_as_left_over(
    files: WorkerFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_folder, "started", lambda _pid: None)
    name = folder / f"{os.getppid()}-0.json"
    name.write_text('{"pid": 7}')
    assert files.read() == [{"pid": 7}]
    os.utime(name, (time.time() - 3600,) * 2)
    assert files.read() == []


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", "null"])
def test_a_file_that_cannot_be_read_is_passed_over(files: WorkerFiles, folder: Path, content: str) -> None:
    (folder / Process(os.getppid(), worker_folder.started(os.getppid()) or 0).file_name).write_text(content)
    assert files.read() == []


def test_only_the_owner_may_enter_or_read(files: WorkerFiles, folder: Path) -> None:
    files.write({"pid": 1})
    files.read()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {item.stat().st_mode & 0o777 for item in folder.iterdir()} == {0o600}


def refused(files: WorkerFiles, caplog: pytest.LogCaptureFixture) -> str:
    files.start()
    for _ in range(3):
        files.write({"pid": 1})
        assert files.read() == []
    files.stop()
    [record] = caplog.records
    assert record.levelname == "ERROR"
    return record.getMessage()


def test_a_folder_that_others_may_enter_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    folder.chmod(0o750)
    assert "open to other users" in refused(WorkerFiles("shop", folder), caplog)
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(0o700)
    os.chown(folder, 12345, 12345)
    assert "belongs to another user" in refused(WorkerFiles("shop", folder), caplog)
    assert list(folder.iterdir()) == []


def test_a_link_to_a_folder_is_refused(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "real").mkdir(0o700)
    folder.symlink_to(tmp_path / "real")
    assert "cannot be used" in refused(WorkerFiles("shop", folder), caplog)


def test_the_common_folder_is_refused_when_it_was_prepared_by_somebody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder_of("shop").parent.mkdir()
    folder_of("shop").parent.chmod(0o777)
    assert "open to other users" in refused(WorkerFiles("shop"), caplog)


def test_it_works_again_when_the_folder_does(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(0o700)
    folder.chmod(0o777)
    files = WorkerFiles("shop", folder)
    files.start()
    assert files.trouble is not None
    folder.chmod(0o700)
    files.write({"pid": 1})
    assert files.trouble is None
    files.stop()


def test_a_folder_that_was_tidied_up_is_made_again(files: WorkerFiles, folder: Path) -> None:
    files.write({"pid": 1})
    (folder / Process.current().file_name).unlink()
    folder.rmdir()
    files.write({"pid": 2})
    assert json.loads((folder / Process.current().file_name).read_text()) == {"pid": 2}


def test_services_with_the_same_parent_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = WorkerFiles("shop")
    files.start()
    files.write({"pid": 1})
    assert folder_of("shop") != folder_of("bank")
    assert folder_of("shop").is_relative_to(tmp_path)
    left = folder_of("bank")
    left.mkdir(0o700)
    (left / "999999999-1.json").write_text("{}")
    files.start()
    assert not left.exists()
    files.stop()
    assert not folder_of("shop").exists()


def test_files_are_written_often_only_while_somebody_reads(files: WorkerFiles, folder: Path) -> None:
    assert files.is_due()
    files.write({"pid": 1})
    assert not files.is_due()
    files.read()
    assert files.is_due()
    os.utime(folder / "asked", (time.time() - 60,) * 2)
    assert not files.is_due()


def test_a_forked_child_does_not_remove_its_parents_file(files: WorkerFiles, folder: Path) -> None:
    files.write({"pid": 1})
    code = f"""
import os, pathlib, sys
from poolkeeper.observe.workers import WorkerFiles
files = WorkerFiles("shop", pathlib.Path({str(folder)!r}))
files.start()
files.write({{"pid": 2}})
if os.fork() == 0:
    sys.exit()
os.wait()
print(len(os.listdir({str(folder)!r})))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "2"


@pytest.mark.slow
def test_the_page_of_one_uvicorn_worker_shows_all(fresh_database: FreshDatabase, tmp_path: Path) -> None:
    (tmp_path / "paged.py").write_text(SERVED)
    (tmp_path / "tmp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "tmp")}
    with Service(
        fresh_database.url(), tmp_path, workers=3, environment=environment, app="paged:app", app_dir=tmp_path
    ) as service:

        def pids() -> set[int]:
            data = httpx.get(f"{service.address}/poolkeeper/data").json()
            return {worker["pid"] for worker in data["workers"]}

        wait_until(lambda: len(pids()) == 3)
        victim = pids().pop()
        os.kill(victim, 9)
        wait_until(lambda: _without(pids, victim))
    assert list((tmp_path / "tmp").glob("poolkeeper-*/*")) == []


def _without(pids: object, victim: int) -> bool:
    try:
        found = pids()  # type: ignore[operator]
    except httpx.TransportError:
        return False
    return victim not in found and len(found) >= 2
