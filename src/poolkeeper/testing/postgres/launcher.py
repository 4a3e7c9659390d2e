"""Starts PostgreSQL's programs: which ones, as whom, with a clean environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from poolkeeper.testing.postgres.errors import EmbeddedPostgresError
from poolkeeper.testing.postgres.privileges import Identity, unprivileged_identity
from poolkeeper.testing.postgres.programs import Version, copy_programs, find_programs


class Launcher:
    """Runs the programs of one installation as somebody who is not root."""

    def __init__(self, programs: Path, identity: Identity, folder: Path) -> None:
        self._programs = programs
        self._identity = identity
        self._folder = folder

    @classmethod
    def for_folder(cls, version: Version, folder: Path) -> Launcher:
        """A launcher for servers below `folder`. Raises `EmbeddedPostgresError` when no server can run there."""
        programs = find_programs(version)
        identity = unprivileged_identity()
        if identity.user is not None:
            identity.check_reach(folder)
            if not identity.can_run(programs / "postgres"):
                programs = _copy_for(identity, programs, folder / "programs")
        return cls(programs, identity, folder)

    def new_folder(self, path: Path) -> Path:
        """A folder that the programs may write in and nobody else may read."""
        path.mkdir(mode=0o700, exist_ok=True)
        self._identity.give(path)
        return path

    def new_file(self, path: Path, text: str) -> Path:
        """A file that only the programs may read and write, in place of what was there."""
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        self._identity.give(path)
        return path

    def run(self, program: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a program to its end and return its output. Raises `EmbeddedPostgresError` with its complaint."""
        with self._popen(program, arguments, environment or {}, subprocess.PIPE, subprocess.PIPE) as process:
            output, complaint = process.communicate()
        if process.returncode != 0:
            raise EmbeddedPostgresError(f"{program} failed: {complaint.decode(errors='replace').strip()}")
        return output.decode()

    def start(self, program: str, *arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a program that keeps running, out of reach of the terminal's Ctrl-C. Its output goes to `log`."""
        with log.open("ab") as output:
            return self._popen(program, arguments, {}, output, subprocess.STDOUT)

    def _popen(
        self,
        program: str,
        arguments: tuple[str | Path, ...],
        environment: Mapping[str, str],
        stdout: IO[bytes] | int,
        stderr: int,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._identity.prefix, self._programs / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=self._folder,
            env={**_clean_environment(), **environment},
            start_new_session=True,
            user=self._identity.uid,
            group=self._identity.gid,
            extra_groups=self._identity.extra_groups,
        )


def _copy_for(identity: Identity, programs: Path, target: Path) -> Path:
    """The programs where `identity` can run them."""
    shutil.rmtree(target, ignore_errors=True)
    copied = copy_programs(programs, target)
    for path in (target, *target.rglob("*")):
        identity.give(path)
    return copied


def _clean_environment() -> dict[str, str]:
    """Ours without what libpq and the server would take as settings; messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "PGCLIENTENCODING": "UTF8"}
