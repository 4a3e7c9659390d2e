"""Fixtures that every test may use. Servers live in `tests/servers.py`."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
