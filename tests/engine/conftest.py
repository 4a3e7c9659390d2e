from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url
from tests.database.stores import Store, store

from poolkeeper.testing import FaultProxy

__all__ = ["proxy", "store"]


@pytest.fixture
def proxy(store: Store) -> Iterator[FaultProxy]:
    """A network in front of the store's server."""
    url = make_url(store.url)
    with FaultProxy(url.host or "", url.port or 0) as proxy:
        yield proxy
