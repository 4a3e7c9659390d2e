"""The command line. One file per command; nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `poolkeeper`. Exits 0; 1 where errors were found; 2 where the command line is wrong. Never a traceback."""
    try:
        from poolkeeper.cli.app import app
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("poolkeeper"):
            raise
        sys.exit(f"poolkeeper: {missing.name} is not installed: pip install 'poolkeeper[cli]'")
    from poolkeeper.cli.app import MissingExtra
    from poolkeeper.settings.masking import masked_text

    try:
        app(prog_name="poolkeeper")
    except MissingExtra as missing_extra:
        sys.exit(f"poolkeeper: {missing_extra}")
    except Exception as error:
        sys.exit(f"poolkeeper: {type(error).__name__}: {masked_text(str(error))}")
