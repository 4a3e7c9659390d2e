from __future__ import annotations

import json

import pytest

from poolkeeper.drill import LoadProcess, Response, Service
from poolkeeper.drill.phased import PhasedLoad, PhasedTraffic


def test_phases_follow_each_other() -> None:
    load = PhasedLoad(phases=((100, 0.05), (10, 1.0)), mix={"read": 1})
    moments = list(load.arrivals())
    assert moments[:5] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert moments[5:] == pytest.approx([0.05 + number / 10 for number in range(10)])
    assert load.seconds == pytest.approx(1.05)


def test_every_transfer_has_a_number_of_its_own_and_two_customers() -> None:
    traffic = PhasedTraffic({"read": 1, "transfer": 1}, hold=0.5, seed=1)
    calls = [traffic.next() for _ in range(200)]
    transfers = [json.loads(call.body) for call in calls if call.route == "transfer"]
    assert [wanted["number"] for wanted in transfers] == list(range(1, len(transfers) + 1))
    assert [call.number for call in calls if call.number is not None] == list(range(1, len(transfers) + 1))
    assert all(wanted["payer"] != wanted["payee"] and wanted["hold"] == 0.5 for wanted in transfers)


def test_every_kind_of_request_can_be_made_and_only_the_abandoned_are_impatient() -> None:
    kinds = ("read", "transfer", "slow", "abandoned", "order", "customer", "audit")
    for kind in kinds:
        call = PhasedTraffic({kind: 1}, hold=0.1, seed=1).next()
        assert call.route == kind
        assert (call.patience is not None) == (kind == "abandoned")


def test_a_look_is_at_a_transfer_whose_caller_knows_that_it_is_done() -> None:
    traffic = PhasedTraffic({"look": 1}, hold=0, seed=1)
    first, second = traffic.next(), traffic.next()
    assert (first.route, first.number, second.route, second.number) == ("transfer", 1, "transfer", 2)
    traffic.answered(second, Response(204, b""))
    looks = [traffic.next() for _ in range(5)]
    assert {(look.route, look.path, look.number) for look in looks} == {("look", "/drill/transfers/2", 2)}
    traffic.answered(looks[0], Response(204, b""))
    assert traffic.next().number == 2


def test_the_process_brings_every_outcome_and_the_moment_at_which_it_began(slow_service: Service) -> None:
    wanted = PhasedLoad(phases=((100, 0.3),), mix={"read": 50, "transfer": 50})
    with LoadProcess(slow_service.address, wanted) as load:
        assert load.began() > 0
        outcomes = load.outcomes()
        assert load.result().requests == len(outcomes) == 30
    numbers = [each.number for each in outcomes if each.route == "transfer"]
    assert sorted(number for number in numbers if number) == list(range(1, len(numbers) + 1))
    assert {each.kind for each in outcomes} == {"ok"}
