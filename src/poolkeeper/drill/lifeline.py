"""Run a command that ends with its owner: `python -I lifeline.py GRACE COMMAND...`, never imported.

The owner holds the other end of standard input. When that closes, because the owner closed it or died in whatever way,
the command gets SIGTERM, and after GRACE seconds its whole process group gets SIGKILL. The group is also ended when
the command itself dies and leaves children behind, as a killed uvicorn leaves its workers. Only the standard library
is imported here, so that this process starts at once and stays small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
REAP_SECONDS = 2.0


def ask_kernel(option: int, value: int) -> None:
    """prctl(2), which only Linux has; elsewhere nothing happens."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)


def end_with_parent() -> None:
    """Should this process itself be killed, the command is asked to end."""
    ask_kernel(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_owner(group: int, grace: float) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.kill(group, signal.SIGTERM)
    threading.Event().wait(grace)
    kill_group(group)


def let_it_pass(_signal: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN, which the command would inherit."""


def kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def reap_orphans() -> None:
    """Collect what the command left behind: in a container there may be nobody else to do it."""
    deadline = time.monotonic() + REAP_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def main(grace: float, command: list[str]) -> int:
    # Signals are for the owner to handle: it ends us by closing the pipe.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, let_it_pass)
    ask_kernel(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=end_with_parent)
    threading.Thread(target=end_with_owner, args=(child.pid, grace), daemon=True).start()
    # Not reaped yet, so that the number of the group cannot belong to anybody else when it is ended.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    kill_group(child.pid)
    code = child.wait()
    reap_orphans()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
