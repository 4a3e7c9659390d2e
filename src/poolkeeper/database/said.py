"""What a database tells its log when it starts."""

from __future__ import annotations

import logging

from poolkeeper.errors import ConnectFailed
from poolkeeper.model import Severity
from poolkeeper.settings import EffectiveSettings

log = logging.getLogger("poolkeeper")


def log_settings(name: str, settings: EffectiveSettings) -> None:
    """The settings in effect with their origins, and what was found about them, secrets masked."""
    log.info("%s: settings in effect\n  %s", name, "\n  ".join(settings.report()))
    for finding in settings.findings:
        log.log(logging.INFO if finding.severity is Severity.INFO else logging.WARNING, "%s: %s", name, finding)


def log_missing(name: str, missing: int, wanted: int, seconds: float, error: BaseException | None) -> None:
    """Connections that are not there yet when the service starts, and why."""
    log.warning(
        "%s: starting with %d of %d min_idle connections missing after %.1f s; last connect error: %s",
        name,
        missing,
        wanted,
        seconds,
        _in_one_line(error),
    )


def _in_one_line(error: BaseException | None) -> str:
    if isinstance(error, ConnectFailed):
        return f"could not connect to {error.where}: {error.reason} ({error.orig})"
    return "none" if error is None else f"{type(error).__name__}: {error}"
