from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import pytest

from poolkeeper.policy import Limits, Queue, Verdict


@dataclass
class Scene:
    """Actions that only write down what the queue asks for."""

    handed: list[tuple[str, str]] = field(default_factory=list)
    checking: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    opening: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def look(self, entry: str) -> Verdict:
        return self.verdicts.get(entry, Verdict.GOOD)

    def hand_over(self, waiter: str, entry: str) -> None:
        self.handed.append((waiter, entry))

    def check(self, entry: str) -> None:
        self.checking.append(entry)

    def open(self) -> None:
        self.opening += 1

    def discard(self, entry: str) -> None:
        self.discarded.append(entry)


def queue_of(scene: Scene, *idle: str, lifo: bool = True, **limits: int) -> Queue[str, str]:
    queue: Queue[str, str] = Queue(Limits(**({"pool_size": 3} | limits)), scene, lifo=lifo)
    queue.idle.extend(idle)
    return queue


def test_the_connection_used_last_is_taken_first():
    queue = queue_of(Scene(), "a", "b")
    assert [queue.take(), queue.take(), queue.take()] == ["b", "a", None]
    assert queue.in_use == 2


@pytest.mark.parametrize(("lifo", "order"), [(True, ["a", "new", "pinged"]), (False, ["a", "new", "pinged"])])
def test_what_arrives_unasked_is_handed_out_last(*, lifo: bool, order: list[str]):
    queue = queue_of(Scene(), "pinged", "a", lifo=lifo)
    queue.connecting = 1
    queue.reserve("pinged")
    queue.connected("new")
    queue.checked("pinged")
    assert [queue.take() for _ in range(3)] == order


def test_first_in_first_out_on_request():
    queue = queue_of(Scene(), "a", "b", lifo=False)
    assert [queue.take(), queue.take()] == ["a", "b"]


def test_callers_are_served_in_the_order_of_their_arrival():
    scene = Scene()
    queue = queue_of(scene, "a", pool_size=1)
    assert queue.take() == "a"
    for waiter in ("first", "second", "third"):
        queue.join(waiter)
    queue.give_back("a")
    queue.give_back("a")
    assert scene.handed == [("first", "a"), ("second", "a")]


def test_a_newcomer_does_not_overtake():
    queue = queue_of(Scene(), "a", pool_size=1)
    queue.take()
    queue.join("first")
    queue.suspended = True
    queue.give_back("a")
    queue.suspended = False
    assert queue.take() is None


def test_no_more_is_opened_than_callers_wait():
    scene = Scene()
    queue = queue_of(scene, pool_size=10, connects_at_once=5)
    queue.join("first")
    queue.join("second")
    assert scene.opening == queue.connecting == 2


def test_connects_at_once_are_limited():
    scene = Scene()
    queue = queue_of(scene, pool_size=10)
    for number in range(6):
        queue.join(str(number))
    assert scene.opening == 2
    queue.connected("a")
    assert (scene.opening, queue.connecting) == (3, 2)


def test_capacity_counts_what_is_being_opened_and_closed():
    scene = Scene()
    queue = queue_of(scene, "a", pool_size=2)
    assert queue.take() == "a"
    queue.retire("a")
    for number in range(3):
        queue.join(str(number))
    assert (queue.open, scene.opening) == (2, 1)
    queue.closed()
    assert (queue.open, scene.opening) == (2, 2)


def test_a_failed_connect_passes_its_place_on():
    scene = Scene()
    queue = queue_of(scene, pool_size=1)
    queue.join("first")
    queue.join("second")
    queue.leave("first")
    queue.connect_failed()
    assert scene.opening == 2
    queue.connected("a")
    assert scene.handed == [("second", "a")]


def test_a_connection_that_vanishes_frees_its_place():
    scene = Scene()
    queue = queue_of(scene, "a", pool_size=1)
    queue.take()
    queue.join("first")
    assert scene.opening == 0
    queue.vanished()
    assert scene.opening == 1


def test_whoever_left_is_passed_over():
    scene = Scene()
    queue = queue_of(scene, "a", pool_size=1)
    queue.take()
    for waiter in ("first", "second"):
        queue.join(waiter)
    assert queue.leave("first")
    assert not queue.leave("first")
    queue.give_back("a")
    assert scene.handed == [("second", "a")]


def test_a_dead_connection_is_discarded_and_the_next_tried():
    scene = Scene(verdicts={"b": Verdict.GONE})
    queue = queue_of(scene, "a", "b")
    assert queue.take() is None
    queue.join("first")
    assert scene.discarded == ["b"]
    assert scene.handed == [("first", "a")]
    assert (queue.in_use, queue.closing) == (1, 1)


def test_a_silent_connection_is_asked_before_it_is_handed_out():
    scene = Scene(verdicts={"a": Verdict.ASK})
    queue = queue_of(scene, "a", pool_size=1)
    assert queue.take() is None
    queue.join("first")
    assert (scene.checking, scene.handed, scene.opening) == (["a"], [], 0)
    scene.verdicts.clear()
    queue.checked("a")
    assert scene.handed == [("first", "a")]


@pytest.mark.parametrize("asked", ["a", None])
def test_what_has_just_answered_is_not_asked_again(asked: str | None):
    scene = Scene(verdicts={"a": Verdict.ASK})
    queue = queue_of(scene, *filter(None, [asked]), pool_size=1)
    queue.join("first")
    if asked:
        queue.checked("a")
    else:
        queue.connected("a")
    assert scene.handed == [("first", "a")]
    assert scene.checking == ([asked] if asked else [])


def test_what_was_retired_while_it_was_asked_is_not_handed_out():
    scene = Scene(verdicts={"a": Verdict.ASK})
    queue = queue_of(scene, "a", pool_size=1)
    queue.join("first")
    scene.verdicts["a"] = Verdict.GONE
    queue.checked("a")
    assert (scene.handed, scene.discarded) == ([], ["a"])


def test_no_more_are_asked_than_callers_wait():
    scene = Scene(verdicts=dict.fromkeys("abc", Verdict.ASK))
    queue = queue_of(scene, "a", "b", "c")
    queue.join("first")
    assert scene.checking == ["c"]
    assert list(queue.idle) == ["a", "b"]


def test_nobody_waits_for_a_connect_that_hangs_while_an_idle_connection_could_be_asked():
    scene = Scene(verdicts={"a": Verdict.ASK})
    queue = queue_of(scene, pool_size=2)
    queue.join("gone")
    queue.leave("gone")
    queue.idle.append("a")
    queue.join("first")
    assert (queue.connecting, scene.checking) == (1, ["a"])


def test_a_failed_check_makes_room_once_it_is_closed():
    scene = Scene(verdicts={"a": Verdict.ASK})
    queue = queue_of(scene, "a", pool_size=1)
    queue.join("first")
    queue.failed_check("a")
    assert (scene.discarded, scene.opening) == (["a"], 0)
    queue.closed()
    assert scene.opening == 1


def test_min_idle_is_kept_beside_those_in_use_within_pool_size():
    scene = Scene()
    queue = queue_of(scene, pool_size=3, max_overflow=5, min_idle=2, connects_at_once=9)
    queue.settle()
    assert scene.opening == 2
    queue.connected("a")
    queue.connected("b")
    queue.take()
    queue.settle()
    assert scene.opening == 3
    queue.connected("c")
    queue.take()
    queue.settle()
    assert scene.opening == 3


def test_a_replacement_is_opened_although_nobody_waits():
    scene = Scene()
    queue = queue_of(scene, "a")
    assert queue.withdraw("a")
    queue.closed(reopen=True)
    assert scene.opening == 1


def test_suspended_nobody_is_served_and_nothing_opened():
    scene = Scene()
    queue = queue_of(scene, "a")
    queue.suspended = True
    assert queue.take() is None
    queue.join("first")
    queue.join("second")
    assert (scene.handed, scene.opening) == ([], 0)
    queue.suspended = False
    queue.settle()
    assert scene.handed == [("first", "a")]
    assert scene.opening == 1


@pytest.mark.parametrize(("pool_size", "max_overflow"), [(0, 5), (3, -1)])
def test_without_a_limit_every_caller_gets_a_connection(pool_size: int, max_overflow: int):
    scene = Scene()
    queue = queue_of(scene, pool_size=pool_size, max_overflow=max_overflow, connects_at_once=100)
    for number in range(50):
        queue.join(str(number))
    assert (queue.limits.capacity, scene.opening) == (None, 50)


def test_a_change_in_the_midst_of_a_decision_is_decided_too():
    class Hasty(Scene):
        def open(self) -> None:
            super().open()
            if self.opening == 1:
                queue.connect_failed()

    scene = Hasty()
    queue = queue_of(scene, pool_size=1)
    queue.join("first")
    assert (scene.opening, queue.connecting) == (2, 1)


class _CountedWaiting(OrderedDict[str, None]):
    steps = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        for key in super().__iter__():
            type(self).steps += 1
            yield key


def test_arrivals_and_departures_do_not_walk_the_queue():
    queue = queue_of(Scene(), "a", pool_size=1)
    queue.take()
    queue.waiting = _CountedWaiting()
    for number in range(10_000):
        queue.join(str(number))
    for number in range(0, 10_000, 2):
        queue.leave(str(number))
    for _ in range(5_000):
        queue.give_back("a")
    assert not queue.waiting
    assert _CountedWaiting.steps == 0


def test_replacements_keep_to_connects_at_once_and_wait_for_the_end_of_a_suspension():
    scene = Scene()
    queue = queue_of(scene, "a", "b", "c", connects_at_once=1)
    for entry in "abc":
        queue.withdraw(entry)
    queue.suspended = True
    queue.closed(reopen=True)
    assert scene.opening == 0
    queue.suspended = False
    queue.closed(reopen=True)
    assert scene.opening == 1
    queue.connected("d")
    assert scene.opening == 2
    queue.connected("e")
    queue.closed()
    assert (scene.opening, len(queue.idle)) == (2, 2)


def test_a_place_that_is_taken_meanwhile_needs_no_replacement():
    scene = Scene()
    queue = queue_of(scene, "a", pool_size=1)
    queue.withdraw("a")
    queue.join("first")
    queue.closed(reopen=True)
    queue.connected("b")
    queue.vanished()
    assert scene.opening == 1


def test_who_has_a_connection_goes_before_those_who_have_none_and_behind_others_who_do():
    scene = Scene()
    queue = queue_of(scene, pool_size=3)
    queue.in_use = 3
    for waiter, urgent in (("first", False), ("nested", True), ("second", False), ("nested too", True)):
        queue.join(waiter, urgent=urgent)
    assert queue.urgent == 2
    assert list(queue.waiting) == ["nested", "nested too", "first", "second"]
    queue.give_back("a")
    assert queue.leave("nested too")
    assert queue.urgent == 0
    queue.join("nested again", urgent=True)
    queue.give_back("b")
    queue.give_back("c")
    assert [waiter for waiter, _ in scene.handed] == ["nested", "nested again", "first"]
