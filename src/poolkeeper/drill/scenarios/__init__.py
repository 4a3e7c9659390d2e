"""The scenarios, one file each. A file with a `SCENARIO` in this folder is a scenario; nothing lists them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from poolkeeper.drill.scenario import Scenario


@cache
def scenarios() -> Mapping[str, Scenario]:
    """All of them by name, in the order of their names."""
    modules = sorted(module.name for module in iter_modules(__path__))
    found: list[Scenario] = [import_module(f"{__name__}.{name}").SCENARIO for name in modules]
    return MappingProxyType({scenario.name: scenario for scenario in found})
