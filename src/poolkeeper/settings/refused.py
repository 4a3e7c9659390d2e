"""The error that stops a service whose settings are wrong."""

from __future__ import annotations

from poolkeeper.model import Refused


class SettingsRefused(Refused):
    """The settings are wrong; `findings` holds every problem at once, each with the value seen, the rule and the fix.

    Secrets are masked in all of them. Not a ValueError, because pydantic would wrap that and repeat the input.
    """

    one = "1 setting is refused"
    many = "settings are refused"
