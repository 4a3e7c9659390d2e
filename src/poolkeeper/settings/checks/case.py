"""What a check looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from poolkeeper.settings.effective import EffectiveSettings


@dataclass(frozen=True, slots=True)
class Case:
    """The effective settings, the values that the user gave by name, and the environment of the process."""

    settings: EffectiveSettings
    given: Mapping[str, object]
    environ: Mapping[str, str]
