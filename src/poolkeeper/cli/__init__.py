"""The command line. One file per command; nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `poolkeeper`. Never a traceback.

    Exits 0; 1 where errors were found; 2 where the command line is wrong, or a package is not installed.
    """
    try:
        from poolkeeper.cli.app import app

        app(prog_name="poolkeeper")
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        sys.stderr.write(f"poolkeeper: {package} is not installed: pip install 'poolkeeper[{_extra()}]'\n")
        sys.exit(2)
    except Exception as error:
        from poolkeeper.settings.masking import masked_text

        sys.exit(f"poolkeeper: {type(error).__name__}: {masked_text(str(error))}")


def _extra() -> str:
    """What installs everything that the command at hand needs."""
    try:
        from poolkeeper.cli.app import COMMANDS
    except ModuleNotFoundError:
        return "cli"
    return next((COMMANDS[argument].extra for argument in sys.argv[1:] if argument in COMMANDS), "cli")
