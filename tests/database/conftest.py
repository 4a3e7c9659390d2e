from __future__ import annotations

from tests.database.stores import proxy, store

__all__ = ["proxy", "store"]
