"""What every test may use. The servers' fixtures live in `tests/servers.py` and `tests/mariadb_pairs.py`."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.servers", "tests.mariadb_pairs"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
