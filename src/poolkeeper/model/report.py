"""The story of a pool's moment, for those who read an error."""

from __future__ import annotations

from typing import NamedTuple


class Report(NamedTuple):
    """`short` is a line or two for the error's message, `full` has every holder and every finding."""

    short: str = ""
    full: str = ""
