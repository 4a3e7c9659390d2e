"""Settings: given, checked, made effective. Refused or kept, never repaired in silence."""

from poolkeeper.settings.dsn import Dsn, DsnInvalid
from poolkeeper.settings.effective import EffectiveSettings, Origin, OriginKind
from poolkeeper.settings.refused import SettingsRefused
from poolkeeper.settings.schema import DatabaseSettings

__all__ = ["DatabaseSettings", "Dsn", "DsnInvalid", "EffectiveSettings", "Origin", "OriginKind", "SettingsRefused"]
