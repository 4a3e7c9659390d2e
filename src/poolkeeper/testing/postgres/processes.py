"""Postmasters and their children, as the kernel sees them. Run as a program it is the watchdog of one owner.

Only the standard library is imported, and nothing of our own: the watchdog is started by path, without site-packages.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

PID_FILE = "postmaster.pid"
_PROC = Path("/proc")
_SHARED_MEMORY_LINE = 6
_STATUS_LINE = 7
_IPC_RMID = 0
_LAST_LOOKS = 3
_LOOK_AGAIN = 0.2


def pid_file_lines(data: Path) -> list[str]:
    """The lines of a data folder's pid file; empty when there is none."""
    try:
        return (data / PID_FILE).read_text().splitlines()
    except OSError:
        return []


def postmaster_status(data: Path) -> str:
    """What the postmaster writes about itself: starting, ready, standby, stopping; empty when it says nothing."""
    lines = pid_file_lines(data)
    return lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""


def living_postmaster(data: Path) -> int | None:
    """The pid of the postmaster that serves `data` now. A pid that another program got since is not taken for it."""
    lines = pid_file_lines(data)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    return pid if pid and _is_running(pid) and _serves(pid, data) else None


def end_postmaster(data: Path, patience: float = 5.0) -> None:
    """End whatever still serves `data`: an immediate shutdown first, SIGKILL after `patience` seconds."""
    pid = living_postmaster(data)
    if pid is not None:
        _send(pid, signal.SIGQUIT)
        if not _wait_until_gone([pid], patience):
            kill_family(pid)
    remove_leftovers(data)


def kill_family(pid: int) -> None:
    """SIGKILL a postmaster and all its children at once, as a crash of the machine would end them."""
    _send(pid, signal.SIGSTOP)  # so that it starts no child between our look and the kill
    family = [*_children(pid), pid]
    for member in family:
        _send(member, signal.SIGKILL)
    _wait_until_gone(family, patience=5.0)


def remove_leftovers(data: Path) -> None:
    """What a killed postmaster leaves behind: its System V memory segment and its pid file."""
    lines = pid_file_lines(data)
    if living_postmaster(data) is not None:
        return
    numbers = lines[_SHARED_MEMORY_LINE].split() if len(lines) > _SHARED_MEMORY_LINE else []
    if len(numbers) > 1:
        ctypes.CDLL(None).shmctl(int(numbers[1]), _IPC_RMID, None)
    (data / PID_FILE).unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    if not _PROC.is_dir():
        return True
    try:
        return os.fsencode(data) in (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _is_running(pid: int) -> bool:
    if _PROC.is_dir():
        return _state_and_parent(pid)[0] not in {"", "Z", "X"}
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return "", 0
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _children(pid: int) -> list[int]:
    if not _PROC.is_dir():
        return []  # they notice the death of their postmaster themselves
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [child for child in pids if _state_and_parent(child)[1] == pid]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until_gone(pids: Iterable[int], patience: float) -> bool:
    deadline = time.monotonic() + patience
    waiting = list(pids)
    while waiting := [pid for pid in waiting if _is_running(pid)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def end_postmasters_below(folder: Path) -> None:
    """End every postmaster whose data folder lies in `folder`."""
    for pid_file in folder.glob(f"*/{PID_FILE}"):
        end_postmaster(pid_file.parent)


def watch(folder: Path, remove: Iterable[Path]) -> None:
    """Wait for a word from the other end of standard input; without one its owner died: end what it left behind.

    A pipe tells the death of a killed owner too, and unlike PR_SET_PDEATHSIG not already the end of the thread that
    started us.
    """
    if os.read(0, 1):
        return
    for _ in range(_LAST_LOOKS):
        end_postmasters_below(folder)
        time.sleep(_LOOK_AGAIN)  # one that was being started has no pid file yet
    for leftover in remove:
        shutil.rmtree(leftover, ignore_errors=True)


if __name__ == "__main__":
    watch(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
