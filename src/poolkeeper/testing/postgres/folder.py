"""Folders that belong to one living owner, and what is done with those whose owner is dead."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from poolkeeper.testing.postgres.errors import EmbeddedPostgresError
from poolkeeper.testing.postgres.processes import end_postmasters_below

_PREFIX = "poolkeeper-postgres-"
_SHORTEST_TEMP = "/tmp"  # noqa: S108
_LOCK = "owner.lock"
_LOCK_GRACE = 60.0


class OwnedFolder:
    """A folder with one owner at a time. The kernel frees the lock when the owner dies, however it dies.

    Without a path it is a new one below the temp folder, named after our pid, and `close` removes it; a folder that was
    given is kept. `short` asks for the shortest path that can be had. Raises `EmbeddedPostgresError` when somebody else
    owns it.
    """

    def __init__(self, path: Path | None = None, *, short: bool = False) -> None:
        self.is_temporary = path is None
        self.path = _new_temporary_folder(short) if path is None else _given_folder(path)
        lock = _lock(self.path)
        if lock is None:
            owner = (self.path / _LOCK).read_text() or "?"
            raise EmbeddedPostgresError(f"{self.path} is in use by another EmbeddedPostgres, in process {owner}")
        self._lock: int | None = lock

    def close(self) -> None:
        """Give the folder up; remove it when it is ours. Safe to call twice."""
        if self._lock is None:
            return
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def _given_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def _temp_folders() -> set[str]:
    return {tempfile.gettempdir(), _SHORTEST_TEMP}


def _new_temporary_folder(short: bool) -> Path:
    sweep()
    parent = min(_temp_folders(), key=len) if short else tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent)).resolve()
    folder.chmod(0o711)  # the server may run as somebody else, who must be able to enter
    return folder


def _lock(folder: Path) -> int | None:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def sweep() -> None:
    """End the servers and remove the temporary folders of owners that died."""
    for folder in (folder for temp in _temp_folders() for folder in Path(temp).glob(f"{_PREFIX}*")):
        try:
            _sweep_one(folder)
        except OSError:
            continue  # another sweeper was faster


def _is_being_made(folder: Path, made_at: float) -> bool:
    """Its owner may not have come to locking it yet."""
    lock = folder / _LOCK
    return time.time() - made_at < _LOCK_GRACE and not (lock.exists() and lock.stat().st_size)


def _sweep_one(folder: Path) -> None:
    status = folder.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or _is_being_made(folder, status.st_mtime):
        return
    lock = _lock(folder)
    if lock is None:
        return
    try:
        end_postmasters_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
