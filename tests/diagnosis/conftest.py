from __future__ import annotations

from tests.database.stores import store

__all__ = ["store"]
