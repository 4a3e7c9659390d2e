from __future__ import annotations

import math

from poolkeeper.policy import Deadlines


def test_they_leave_in_the_order_of_their_deadlines_not_of_their_coming() -> None:
    waiting = {"patient", "hasty", "for ever"}
    deadlines = Deadlines[str](waiting)
    deadlines.add("patient", 3.0)
    deadlines.add("hasty", 1.0)
    deadlines.add("for ever", math.inf)
    assert deadlines.next == 1.0
    assert deadlines.due(0.9) is None
    assert deadlines.due(5.0) == "hasty"
    waiting.remove("hasty")
    assert deadlines.due(5.0) == "patient"
    waiting.remove("patient")
    assert deadlines.due(5.0) is None
    assert deadlines.next == math.inf


def test_who_was_served_is_forgotten_once_nobody_in_front_waits() -> None:
    waiting = set(range(100))
    deadlines = Deadlines[int](waiting)
    for number in waiting:
        deadlines.add(number, float(number))
    for number in range(99):
        waiting.remove(number)
        deadlines.tidy()
    assert deadlines.next == 99.0
    assert len(deadlines) == 1
