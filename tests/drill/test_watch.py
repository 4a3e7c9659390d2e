from __future__ import annotations

import json
import os
from typing import Any

import pytest

from poolkeeper.drill import PoolWatch, Service

pytestmark = pytest.mark.anyio


def health(**pool: int | None) -> Any:
    return {"pid": os.getpid(), "pool": {"capacity": 20, "in_use": 0, "idle": 0, "waiting": 0} | pool}


class Scripted(PoolWatch):
    """Reads answers from a list instead of a service."""

    def __init__(self, *answers: Any, workers: int = 1) -> None:
        super().__init__("http://127.0.0.1:1", workers)
        self.answers = list(answers)

    async def _health(self) -> Any:
        return json.loads(json.dumps(self.answers.pop(0)))


async def test_workers_are_summed_and_each_counts_once() -> None:
    first, second = health(in_use=3, waiting=1) | {"pid": 1}, health(in_use=2, idle=4) | {"pid": 2}
    totals = await Scripted(first, first, second, workers=2).look()
    assert totals is not None
    assert str(totals) == "5 in use, 4 idle, 1 waiting of 40"
    assert totals.as_dict()["workers"] == 2


async def test_a_pool_without_limit_has_none_in_the_sum() -> None:
    totals = await Scripted(health(capacity=None)).look()
    assert str(totals) == "0 in use, 0 idle, 0 waiting of no limit"


async def test_the_peak_is_remembered() -> None:
    watch = Scripted(health(in_use=7, waiting=2), health(in_use=1))
    await watch.look()
    await watch.look()
    assert (watch.peak_in_use, watch.peak_waiting) == (7, 2)


async def test_a_service_without_such_numbers_shows_none(slow_service: Service) -> None:
    assert await PoolWatch(slow_service.address).look() is None


async def test_a_service_that_is_gone_shows_none(free_tcp_port: int) -> None:
    assert await PoolWatch(f"http://127.0.0.1:{free_tcp_port}").look() is None
