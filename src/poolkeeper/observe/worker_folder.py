"""A folder that only this user can enter, and the processes whose files are in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

_ONLY_OURS = 0o700
_ONLY_OUR_FILE = 0o600
_OTHERS = 0o077
_SUFFIX = ".json"
_HALF_WRITTEN = ".half-written"
# Where start times cannot be looked up, a pid may be somebody else's by now: a file that old (seconds) is left over.
_STALE = 60.0
# The last worker of another service may remove the folder of this user just before ours is made in it.
_TRIES = 10


class Process(NamedTuple):
    """A process, told apart from an earlier one with the same pid by when it `started`, in ticks since boot.

    `started` is 0 where that cannot be looked up.
    """

    pid: int
    started: int

    @classmethod
    def current(cls) -> Self:
        return cls(os.getpid(), started(os.getpid()) or 0)

    @classmethod
    def of_file(cls, name: str) -> Self | None:
        """Whose file it is; None where it is nobody's."""
        pid, dash, start = name.removesuffix(_HALF_WRITTEN).removesuffix(_SUFFIX).partition("-")
        return cls(int(pid), int(start)) if dash and pid.isdecimal() and start.isdecimal() else None

    @property
    def file_name(self) -> str:
        return f"{self.pid}-{self.started}{_SUFFIX}"

    def lives(self) -> bool:
        """Whether it still runs. Without a start time to compare, any process with this pid is taken for it."""
        now = started(self.pid)
        if now is not None and self.started:
            return now == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


def started(pid: int) -> int | None:
    """When the process with this pid started, in ticks since boot; 0 for one that ended, None where nobody tells."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        # The name of the program, in parentheses, may hold anything.
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if words[0] in "ZX" else int(words[19])


def folder_of(service: str) -> Path:
    """The folder for the workers of a service: those with the same parent, arguments and working folder.

    Pids mean something in their namespace only, so containers that share a folder for temporary files stay apart.
    """
    identity = (service, os.getppid(), started(os.getppid()), sys.argv, os.getcwd())
    name = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / _of_this_user() / f"{_namespace()}-{name}"


def _of_this_user() -> str:
    return f"poolkeeper-{os.geteuid()}"


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def entered(path: Path) -> WorkerFolder:
    """The folder of a service, and around it that of this user. Raises `PermissionError` as `WorkerFolder` does."""
    for _ in range(_TRIES):
        os.close(_opened(path.parent))
        with contextlib.suppress(FileNotFoundError):
            return WorkerFolder(path)
    raise FileNotFoundError(f"{path} is removed again and again")


class WorkerFolder:
    """An open folder, made if there is none. Raises `PermissionError` where it is not ours or others may enter.

    Everything goes through the descriptor: what was checked is what is used, whatever happens to the path. It stays
    open until this object is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _opened(path)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._descriptor))

    def replace(self, name: str, content: bytes) -> None:
        """Write a file so that readers see all of the old or all of the new content."""
        half = name + _HALF_WRITTEN
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(half, flags, _ONLY_OUR_FILE, dir_fd=self._descriptor)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(half, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def touch(self, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, _ONLY_OUR_FILE, dir_fd=self._descriptor)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)

    def content(self, name: str, largest: int) -> bytes:
        """What is in a file, nothing where there is none."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(name, flags, dir_fd=self._descriptor), "rb") as file:
                return file.read(largest)
        except FileNotFoundError:
            return b""

    def modified(self, name: str) -> float | None:
        """When a file was written, as seconds since 1970; None where there is none."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def remove_dead(self) -> None:
        """Remove the files of processes that have ended."""
        for name, owner in self.owned():
            if not owner.lives() or (not owner.started and self._is_stale(name)):
                self.remove(name)

    def _is_stale(self, name: str) -> bool:
        modified = self.modified(name)
        return modified is None or time.time() - modified > _STALE

    def owned(self) -> Iterator[tuple[str, Process]]:
        """The files of workers, and whose they are."""
        for name in self.names():
            if (owner := Process.of_file(name)) is not None:
                yield name, owner

    def remove_if_deserted(self) -> None:
        """Remove the folder when there is no worker's file in it, and that of this user when there is no other."""
        if any(True for _ in self.owned()):
            return
        for name in self.names():
            self.remove(name)
        with contextlib.suppress(OSError):
            self.path.rmdir()
            if self.path.parent.name == _of_this_user():
                self.path.parent.rmdir()


def remove_deserted_beside(own: Path) -> None:
    """Remove the folders next to our own whose workers are dead, all of them."""
    for path in own.parent.glob(f"{_namespace()}-*"):
        with contextlib.suppress(OSError):
            if path == own:
                continue
            folder = WorkerFolder(path)
            folder.remove_dead()
            folder.remove_if_deserted()


def _opened(path: Path) -> int:
    """A descriptor of the folder, which is made if there is none."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(_ONLY_OURS)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PermissionError(f"{path} cannot be used: {error.strerror}") from error
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & _OTHERS:
        return descriptor
    os.close(descriptor)
    whose = "belongs to another user" if status.st_uid != os.geteuid() else "is open to other users"
    raise PermissionError(f"{path} {whose}")
