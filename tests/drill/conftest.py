from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolkeeper.drill import Service

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def slow_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with Service("sqlite://", folder, app="slow_app:app", app_dir=HERE) as service:
        yield service
