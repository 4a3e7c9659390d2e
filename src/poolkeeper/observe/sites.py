"""Where in the service's own code something happens: the nearest frame that is in no library."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from greenlet import getcurrent  # type: ignore[import-untyped]

# A code object and the offset of an instruction in it: a line is worked out only where somebody asks for it.
Site = tuple[CodeType, int]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROOTS = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {os.path.join(_PACKAGE, "")}
)
_FOLDERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
# Of an app that is itself installed among the libraries, whatever is not known to lie between it and the pool.
_BETWEEN = tuple(f"{os.sep}{name}{os.sep}" for name in ("sqlalchemy", "poolkeeper", "sqlmodel", "greenlet", "anyio"))

_library: dict[str, bool] = {}


def is_library(code: CodeType) -> bool:
    """Whether this code is installed and not the service's own, which may be installed as "editable"."""
    name = code.co_filename
    found = _library.get(name)
    if found is None:
        found = _library[name] = _lies_in_library(name)
    return found


def current_site() -> Site | None:
    """The line of the service that the running code was called from, also if it runs in a greenlet of SQLAlchemy's."""
    greenlet = getcurrent()
    parent = greenlet.parent
    if parent is None or not hasattr(greenlet, "__sqlalchemy_greenlet_provider__"):
        return site_of(sys._getframe(1))
    # What awaits is on the parent's stack: `greenlet_spawn`, then who called it.
    spawned: FrameType | None = parent.gr_frame
    frame = spawned.f_back if spawned is not None else None
    if frame is not None and frame.f_code.co_name == "run_sync" and (site := _first_own(sys._getframe(1))) is not None:
        return site
    start, known = frame, _library
    # As in _first_own, without a call: this is part of every checkout.
    while frame is not None:
        code = frame.f_code
        if not (known[code.co_filename] if code.co_filename in known else is_library(code)):
            return code, frame.f_lasti
        frame = frame.f_back
    return _first_beyond(start)


def site_of(frame: FrameType | None) -> Site | None:
    """The nearest line of the service on this stack."""
    return _first_own(frame) or _first_beyond(frame)


def described(site: Site) -> str:
    """As in "orders/shop.py:42 in place_order"."""
    code, offset = site
    place = "/".join(code.co_filename.split(os.sep)[-2:])
    return f"{place}:{_line(code, offset)} in {code.co_name}"


def frames_of(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame, then its callers."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _first_own(frame: FrameType | None) -> Site | None:
    return next(((each.f_code, each.f_lasti) for each in frames_of(frame) if not is_library(each.f_code)), None)


def _first_beyond(frame: FrameType | None) -> Site | None:
    for each in frames_of(frame):
        name = each.f_code.co_filename
        if any(folder in name for folder in _FOLDERS) and not any(folder in name for folder in _BETWEEN):
            return each.f_code, each.f_lasti
    return None


def _lies_in_library(name: str) -> bool:
    if name.startswith("<"):
        # Generated code, but for what is typed in at a prompt.
        return name != "<stdin>"
    path = os.path.abspath(name)
    return path.startswith(_ROOTS) or any(folder in path for folder in _FOLDERS)


def _line(code: CodeType, offset: int) -> int:
    lines: Any = code.co_lines()
    return next((line for start, end, line in lines if start <= offset < end and line), code.co_firstlineno)
