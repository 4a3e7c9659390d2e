from __future__ import annotations

from tests.diagnosis.windows import ROUTE, SITE, facts, full, holder, holders, in_gap, sessions, window

from poolkeeper.diagnosis import explain, in_full, in_short
from poolkeeper.model import PoolSnapshot


def test_in_short_is_two_lines() -> None:
    lines = in_short(explain(full(in_gap()))).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("held-across-external-io (certain): ")
    assert ROUTE in lines[0]
    assert lines[1].startswith("Commit or close the session")
    assert in_short(()) == ""


def test_in_full_has_the_numbers_the_holders_and_every_finding() -> None:
    snapshots = full((*holders(7), *in_gap(2), holder(9, finished=True, in_sql=False)))
    findings = explain(snapshots, facts(*sessions()))
    text = in_full(snapshots[-1], findings)
    assert text.startswith("pool orders: 10 of 10 in use, 0 idle, 8 waiting for up to 2.0 s\n")
    assert text.count(SITE) >= 10
    assert "awaits orders/shop.py:60 in charge" in text
    assert "task ended" in text
    assert all(f"{finding.severity}: {finding.code}" in text for finding in findings)
    assert "\x1b" not in text


def test_the_table_is_aligned() -> None:
    snapshots = full((holder(1, route="GET /a"), holder(2, route="GET /a/long/one", seconds=123.4)))
    header, *rows = in_full(snapshots[-1], ()).split("\n\n")[1].splitlines()
    assert {row.index("orders/shop.py") for row in rows} == {header.index("CHECKED OUT AT")}


def test_a_large_pool_does_not_fill_the_screen() -> None:
    snapshot = PoolSnapshot("orders", 50, 50, 0, 0, holders=holders(50))
    text = in_full(snapshot, ())
    assert "and 30 more" in text
    assert len(text.splitlines()) < 30


def test_an_idle_pool_is_one_line() -> None:
    assert in_full(window()[-1], ()) == "pool orders: 2 of 10 in use, 8 idle, 0 waiting"


def test_lines_are_not_too_wide() -> None:
    snapshots = full(in_gap())
    findings = explain(snapshots)
    assert all(len(line) <= 110 for line in in_full(snapshots[-1], findings).split("\n\n", 2)[2].splitlines())
