"""What a check looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from poolkeeper.settings.effective import EffectiveSettings


@dataclass(frozen=True, slots=True)
class Case:
    """The effective settings, the values that the user gave by name, the environment of the process,
    and what our variables in it begin with."""

    settings: EffectiveSettings
    given: Mapping[str, object]
    environ: Mapping[str, str]
    prefix: str
