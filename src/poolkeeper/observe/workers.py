"""What the worker processes of one service tell each other: a file of each, in a folder that only they can enter."""

from __future__ import annotations

import json
import logging
import os
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from poolkeeper.observe.worker_folder import Process, WorkerFolder, entered, folder_of, remove_deserted_beside

log = logging.getLogger("poolkeeper")

T = TypeVar("T")

# Whoever reads asks for fresh files; this many seconds after the last reader, the workers go back to writing rarely.
_ASKED_WITHIN = 15.0
_RARELY = 20.0
_ASKED = "asked"
_LARGEST = 8 * 1024 * 1024


class WorkerFiles:
    """One JSON file for each worker of a service, written by itself and read by all.

    Workers find each other by having the same parent process, arguments and `service`; a `folder` of one's own choice
    overrules that. Where it cannot be used, or is open to other users, an error is logged once, and this worker is the
    only one to be seen. The methods touch files, shortly: call them in one thread, and not the event loop's.
    """

    def __init__(self, service: str, folder: Path | None = None) -> None:
        self._service, self._given = service, folder
        self._folder: WorkerFolder | None = None
        self._process: Process | None = None
        self._tried = -_RARELY
        self._remover: Callable[[], object] | None = None
        self.trouble: str | None = None

    def start(self) -> None:
        """Enter the folder, made if needed, and remove what dead workers left there and in those next to it."""
        self._attempt(self._enter, None)

    def is_due(self) -> bool:
        """Whether somebody would miss a newer file: while any worker reads, or now and then."""
        if time.monotonic() - self._tried >= _RARELY:
            return True
        asked = None if self._folder is None else self._folder.modified(_ASKED)
        return asked is not None and abs(time.time() - asked) < _ASKED_WITHIN

    def write(self, view: Mapping[str, object]) -> None:
        """Replace this worker's file."""
        self._tried = time.monotonic()
        content = json.dumps(view, separators=(",", ":")).encode()
        self._attempt(lambda: self._inside(lambda folder, own: folder.replace(own.file_name, content)), None)

    def read(self) -> list[dict[str, Any]]:
        """What the other living workers wrote, and ask them for more. What dead ones left is removed."""
        return self._attempt(lambda: self._inside(_read), [])

    def stop(self) -> None:
        """Remove this worker's file."""
        if self._remover is not None:
            self._remover()
        self._remover = self._folder = self._process = None

    def _attempt(self, act: Callable[[], T], otherwise: T) -> T:
        try:
            result = act()
        except OSError as error:
            if self.trouble is None:
                log.error("other workers cannot be shown on the page: %s", error)
            self.trouble = str(error)
            return otherwise
        self.trouble = None
        return result

    def _inside(self, act: Callable[[WorkerFolder, Process], T]) -> T:
        if self._folder is not None and self._process is not None and self._process.pid == os.getpid():
            try:
                return act(self._folder, self._process)
            except FileNotFoundError:
                pass  # somebody tidied up the temporary files
        return act(*self._enter())

    def _enter(self) -> tuple[WorkerFolder, Process]:
        if not hasattr(os, "geteuid"):
            raise OSError("this platform has no folders that only one user can enter")
        path = self._given or folder_of(self._service)
        self.stop()
        folder, process = WorkerFolder(path) if self._given else entered(path), Process.current()
        if self._given is None:
            remove_deserted_beside(path)
        folder.remove_dead()
        self._folder, self._process = folder, process
        # Runs at exit too: not every process ends with an orderly shutdown.
        self._remover = weakref.finalize(self, _leave, folder, process)
        return folder, process


def _read(folder: WorkerFolder, own: Process) -> list[dict[str, Any]]:
    folder.touch(_ASKED)
    folder.remove_dead()
    names = [name for name, owner in folder.owned() if owner != own and name == owner.file_name]
    views = [_parsed(folder.content(name, _LARGEST)) for name in names]
    return [view for view in views if view is not None]


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        view: object = json.loads(content)
    except ValueError:
        return None
    return cast("dict[str, Any]", view) if isinstance(view, dict) else None


def _leave(folder: WorkerFolder, process: Process) -> None:
    # A forked child inherits this, but not the file.
    if process.pid != os.getpid():
        return
    try:
        folder.remove(process.file_name)
        folder.remove_if_deserted()
    except OSError as error:
        log.warning("the file of a worker could not be removed: %s", error)
