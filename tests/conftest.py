"""What every test may use. The servers' fixtures live in `tests/servers.py` and `tests/mariadb_pairs.py`."""

from __future__ import annotations

import gc
import os

import pytest

# The certificates of the world's authorities take each HTTP client 20 ms to read, and no test meets one of them.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull

pytest_plugins = ["tests.servers", "tests.mariadb_pairs"]


def pytest_collection_finish() -> None:
    # What the imports have made stays until the end: no collection has to look at it again.
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
