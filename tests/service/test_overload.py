"""What clients of a service are told when its pool is full."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest
from tests.service.served import serve, wait_until
from tests.service.test_problems import app_with, problem

from poolkeeper import Database, PoolSaturated
from poolkeeper.fastapi.problems import problem_of


def test_a_caller_that_is_refused_is_told_when_to_come_back(make_database: Callable[..., Database]) -> None:
    database = make_database(pool_size=1, max_waiting=1)
    with serve(app_with(database)) as served:
        threads = []
        for there in (lambda: database.snapshot().in_use == 1, lambda: database.snapshot().waiting == 1):
            threads.append(threading.Thread(target=httpx.get, args=(f"{served.url}/sleep/0.5",)))
            threads[-1].start()
            wait_until(there)
        refused = httpx.get(f"{served.url}/sleep/0")
        for thread in threads:
            thread.join()
    assert problem(refused) == "pool-saturated"
    assert int(refused.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.1, 2), (7.5, 8)])
def test_the_time_to_come_back_is_in_whole_seconds(seconds: float, told: int) -> None:
    answer = problem_of(PoolSaturated("full", retry_after=seconds))
    assert answer is not None
    assert answer.retry_after == told
