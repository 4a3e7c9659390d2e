"""What pictures show is what the planner says, and every one of them says it in words, too."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from poolkeeper.planner.budget import Situation
from poolkeeper.planner.curves import curves_of
from poolkeeper.planner.plan import Plan, plan
from poolkeeper.planner.rollout import rollout_of
from poolkeeper.planner.sizing import Sizing
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, Workload
from poolkeeper.report.looks import DARK, LIGHT
from poolkeeper.report.pictures import deploy_picture, hold_picture, load_picture
from poolkeeper.report.svg import svg

ORDERS = Service(name="orders", rps=400, hold=0.05, pods=6, workers=2, client_timeout=5)
REPORTS = Service(name="reports", rps=20, hold=0.3, hold_p99=2, pods=3, background=3)


def planned(*services: Service, **server: object) -> Plan:
    values = {"max_connections": 400, "other_clients": 10, **server}
    return plan(Workload(services=services or (ORDERS, REPORTS), server=DatabaseServer(**values)))  # type: ignore[arg-type]


def sizings(of: Plan) -> dict[str, Sizing]:
    return {one.service.name: one.sizing for one in of.services}


def test_a_curve_goes_through_the_figures_of_the_plan() -> None:
    one = planned().of("orders")
    curves = curves_of(one.service, one.sizing)
    peak, burst = one.queues[:2]
    assert (curves.peak.figures.wait_p99, curves.burst.figures.wait_p99) == (peak.wait_p99, burst.wait_p99)
    assert (curves.knee, curves.full) == (one.knee.rate, 12 * one.sizing.capacity / 0.05)
    waits = [point.figures.wait_p99 for point in curves.by_rate]
    assert waits == sorted(waits)
    assert curves.by_rate[-1].figures.lost == pytest.approx(0.2, abs=0.01)


def test_longer_holds_keep_their_spread() -> None:
    one = planned().of("reports")
    curves = curves_of(one.service, one.sizing)
    assert curves.full_hold == pytest.approx(3 * one.sizing.capacity / 20)
    at_plan = min(curves.by_hold, key=lambda point: abs(point.hold - 0.3))
    assert at_plan.figures.wait_p99 == pytest.approx(curves.peak.figures.wait_p99, rel=0.3)
    beyond = curves.by_hold[-1]
    assert beyond.hold == pytest.approx(1.25 * curves.full_hold)
    assert beyond.figures.lost > 0.1


@pytest.mark.parametrize("surge", [0, 1, 2])
def test_the_deploy_reaches_what_the_budget_counts(surge: int) -> None:
    from poolkeeper.planner.quantities import Surge

    service = Service(name="orders", rps=100, hold=0.05, pods=6, workers=2, surge=Surge(pods=surge), background=6)
    found = planned(service)
    rollout = rollout_of(found.workload, sizings(found))
    counted = found.budget.server.total(Situation.DEPLOY)
    each = counted / (service.pods + surge + service.pods_leaving(6))
    reached = max(step.connections for step in rollout.steps)
    # Without a surge a pod leaves before the next one starts, and the budget counts both.
    assert reached == counted if surge else counted - each <= reached <= counted
    assert rollout.steps[0].new == rollout.steps[-1].old == rollout.steps[-1].leaving == 0
    assert rollout.steps[-1].new == rollout.steps[0].old == found.budget.server.total(Situation.NOW)


def test_services_behind_a_pooler_are_seen_through_it() -> None:
    behind = Service(name="behind", rps=100, hold=0.05, pods=6, workers=4, pooler=True)
    found = planned(REPORTS, behind, pooler=PoolerLimits(pool_size=15, max_client_conn=500))
    rollout = rollout_of(found.workload, sizings(found))
    assert {step.pooled for step in rollout.steps} == {15}


def test_pictures_say_in_words_what_they_show() -> None:
    found = planned()
    one = found.of("orders")
    curves = curves_of(one.service, one.sizing)
    load, hold = load_picture(curves), hold_picture(curves)
    deploy = deploy_picture(rollout_of(found.workload, sizings(found)))
    assert "At the peak (400/s)" in load.description
    assert "below the knee" in load.description
    assert "With the planned 50ms" in hold.description
    most = 10 + found.budget.server.total(Situation.DEPLOY)
    assert re.search(rf"at most {most + 3} connections", deploy.description)


def test_a_picture_in_a_page_has_the_pages_colours_and_names_of_its_own() -> None:
    one = planned().of("orders")
    picture = load_picture(curves_of(one.service, one.sizing))
    drawn = svg(picture.figure, picture.name, picture.title, picture.description)
    root = ElementTree.fromstring(drawn)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"title", "desc", "text"} <= names
    assert root.get("role") == "img"
    assert not names & {"script", "image", "foreignObject"}
    for colour in LIGHT.values():
        assert colour not in drawn.lower()
    assert set(re.findall(r"var\(--(\w+)\)", drawn)) <= LIGHT.keys() == DARK.keys()
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)
    ids = re.findall(r'\bid="([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("load-orders-") for name in ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', drawn)) <= set(ids)
    assert "http://www.w3.org" in drawn
    assert not re.findall(r"https?://(?!www\.w3\.org)", drawn)
    assert drawn == svg(picture.figure, picture.name, picture.title, picture.description)
