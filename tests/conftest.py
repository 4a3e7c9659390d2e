"""What every test may use. The servers' fixtures live in `tests/servers.py`."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.servers"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
