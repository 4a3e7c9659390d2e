"""`python -m poolkeeper`."""

from __future__ import annotations

from poolkeeper.cli import main

if __name__ == "__main__":
    main()
