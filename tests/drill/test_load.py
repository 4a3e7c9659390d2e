from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace

import pytest

from poolkeeper.drill import Call, Load, LoadProcess, LoadResult, Response, Service, SteadyLoad, steady

pytestmark = pytest.mark.anyio


class Script:
    """Traffic that asks for the given paths in turn."""

    def __init__(self, *paths: str) -> None:
        self.paths = itertools.cycle(paths)
        self.answers: list[Response] = []

    def next(self) -> Call:
        path = next(self.paths)
        return Call(path, "GET", path)

    def answered(self, call: Call, response: Response) -> None:
        self.answers.append(response)


def test_a_steady_schedule_does_not_drift() -> None:
    moments = list(steady(1000, 2))
    assert len(moments) == 2000
    assert moments[-1] == pytest.approx(1.999)


async def test_a_known_delay_is_measured(slow_service: Service) -> None:
    result = await Load(slow_service.address, Script("/sleep/50"), steady(50, 1)).run()
    assert (result.requests, result.errors) == (50, 0)
    assert 50 <= result.p50_ms < 100


async def test_a_stall_is_charged_to_every_request_that_should_have_left_during_it(slow_service: Service) -> None:
    """A closed loop would see one slow request of 400 ms here; an open loop sees the 40 callers behind it."""

    class OneStall(Script):
        calls = itertools.count()

        def next(self) -> Call:
            path = "/block/400" if next(self.calls) == 20 else "/sleep/0"
            return Call(path, "GET", path)

    load = Load(slow_service.address, OneStall(), steady(100, 1))
    result = await load.run()
    assert (result.requests, result.errors) == (100, 0)
    assert result.max_ms >= 400
    # 40 of 100 were due during the stall, and on average waited for half of it.
    assert load.recorder.latencies.quantile(0.9) >= 0.2


async def test_a_request_is_ended_by_its_timeout_and_counted(slow_service: Service) -> None:
    result = await Load(slow_service.address, Script("/sleep/1000"), steady(20, 0.5), timeout=0.2).run()
    assert result.by_error == {"timeout": 10}
    assert result.errors == result.requests == 10


async def test_a_caller_may_be_less_patient_than_the_others(slow_service: Service) -> None:
    class Impatient(Script):
        def next(self) -> Call:
            call = super().next()
            return replace(call, patience=0.1) if call.path == "/sleep/301" else call

    script = Impatient("/sleep/300", "/sleep/301")
    result = await Load(slow_service.address, script, steady(20, 0.5), timeout=5).run()
    assert result.by_error == {"timeout": 5}
    assert result.by_status == {"200": 5}


async def test_an_unexpected_status_is_an_error_by_its_number(slow_service: Service) -> None:
    script = Script("/status/503", "/status/200")
    result = await Load(slow_service.address, script, steady(100, 0.2)).run()
    assert result.by_error == {"status 503": 10}
    assert result.by_status == {"200": 10, "503": 10}
    assert [answer.status for answer in script.answers] == [200] * 10


async def test_nobody_listening_is_refused_and_not_a_crash(free_tcp_port: int) -> None:
    result = await Load(f"http://127.0.0.1:{free_tcp_port}", Script("/"), steady(100, 0.1)).run()
    assert result.by_error == {"refused": 10}


async def test_no_more_are_under_way_than_allowed(slow_service: Service) -> None:
    result = await Load(slow_service.address, Script("/sleep/300"), steady(100, 0.2), max_under_way=5).run()
    assert result.by_error == {"not sent": 15}
    assert result.by_status == {"200": 5}


async def test_an_endless_load_is_bounded_in_number(slow_service: Service) -> None:
    result = await Load(slow_service.address, Script("/sleep/0"), steady(500), max_requests=30).run()
    assert result.requests == 30


async def test_stop_lets_requests_under_way_finish(slow_service: Service) -> None:
    load = Load(slow_service.address, Script("/sleep/200"), steady(50))
    asyncio.get_running_loop().call_later(0.3, load.stop)
    result = await load.run()
    assert result.errors == 0
    assert 10 <= result.requests <= 17
    assert result.seconds < 2


async def test_a_cancelled_load_leaves_no_task_behind(slow_service: Service) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Load(slow_service.address, Script("/sleep/1000"), steady(50)).run(), 0.2)
    assert asyncio.all_tasks() == before


@pytest.mark.slow
async def test_the_series_adds_up_to_the_totals(slow_service: Service) -> None:
    result = await Load(slow_service.address, Script("/status/200", "/status/500"), steady(40, 2.5)).run()
    assert [second.requests for second in result.series] == [40, 40, 20]
    assert sum(second.errors for second in result.series) == result.errors == 50
    assert LoadResult.from_dict(result.as_dict()) == result


def test_a_load_in_its_own_process_brings_the_same_figures(slow_service: Service) -> None:
    with LoadProcess(slow_service.address, SteadyLoad(rate=100, seconds=0.5)) as load:
        result = load.result()
    assert (result.requests, result.errors) == (50, 0)
    assert set(result.by_status) == {"200"}


def test_a_load_process_stops_early_when_asked(slow_service: Service) -> None:
    with LoadProcess(slow_service.address, SteadyLoad(rate=20, seconds=600)) as load:
        time.sleep(1)
        load.stop()
        result = load.result()
    assert result.errors == 0
    assert result.seconds < 60
