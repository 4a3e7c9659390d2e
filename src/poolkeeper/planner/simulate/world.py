"""The simulated service: requests come, go to a process, get a connection, end, and are tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from poolkeeper.planner.simulate.clock import Clock, Event
from poolkeeper.planner.simulate.keeper import KeeperProcess
from poolkeeper.planner.simulate.pods import Pods
from poolkeeper.planner.simulate.pooler import SharedServer
from poolkeeper.planner.simulate.process import Nobody, Process, Sessions
from poolkeeper.planner.simulate.requests import Connection, Outcome, Request
from poolkeeper.planner.simulate.results import Results, Simulated
from poolkeeper.planner.simulate.scenario import KeeperPolicy, Restart, Scenario
from poolkeeper.planner.simulate.stock import StockProcess
from poolkeeper.policy import backoff

_BATCH = 65_536


class World:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.clock, self.results, self.database = Clock(), Results(scenario), Sessions(self)
        # A source each, so that a change of one thing leaves the chances of the others as they were.
        sources = np.random.SeedSequence(seed).spawn(4)
        self._of_arrivals, self._of_work, self._of_places, self._of_pauses = map(np.random.default_rng, sources)
        self.refusal = 0.0
        self._tickets = self._waiting = self._turn = self._unfinished = 0
        self._pooler = None if scenario.pooler is None else SharedServer(self, scenario.pooler.size)
        self._leave_after = scenario.clients.timeout
        self._watched = self._leave_after is not None and scenario.clients.retries > 0
        self.pods = Pods(self)
        self._nobody: list[Process] = [Nobody(self)]

    # For processes

    def new_process(self) -> Process:
        policy = self.scenario.policy
        return KeeperProcess(self, policy) if isinstance(policy, KeeperPolicy) else StockProcess(self, policy)

    def dice(self) -> float:
        """A number between 0 and 1."""
        return float(self._of_pauses.random())

    def ticket(self) -> int:
        """A number that was never given before."""
        self._tickets += 1
        return self._tickets

    def joined(self, request: Request) -> None:
        """A request waits for a connection."""
        self._waiting += 1
        self.results.waiting(self.clock.now, self._waiting)
        if self._watched:
            self._watch(request)

    def left(self, request: Request) -> None:  # noqa: ARG002 - says who, as `joined` does
        """It waits no longer."""
        self._waiting -= 1
        self.results.waiting(self.clock.now, self._waiting)

    def begin(self, request: Request, connection: Connection, since: float = -1.0) -> None:
        """A request has a connection, and holds it from `since`, or from now on."""
        now = self.clock.now
        self.results.granted(request, now - request.arrival)
        connection.request = request
        connection.taken = now if since < 0 else since
        if self._pooler is None:
            self.work(request, connection)
        else:
            self._pooler.ask(connection)

    def work(self, request: Request, connection: Connection) -> None:
        """The database works for a request."""
        now = self.clock.now
        # A process may have been given the connection a moment before it came to run; the hold counts from then.
        since = now if self._pooler is not None else connection.taken
        ends = max(now, since + request.hold)
        self.clock.at(ends, self._done, connection)
        if self._watched and self._leave_after is not None and ends > request.arrival + self._leave_after:
            self._watch(request)

    def _done(self, connection: Connection) -> None:
        request = connection.request
        assert request is not None  # noqa: S101 - it was given to one
        connection.request = None
        now = self.clock.now
        self.results.held(connection.taken, now)
        request.process.give_back(connection, now - connection.taken)
        if self._pooler is not None:
            self._pooler.release()
        self.over(request, Outcome.SERVED)

    # Clients

    def run(self) -> Simulated:
        """All of it."""
        self.pods.start()
        for restart in self.scenario.database.restarts:
            self.clock.at(restart.at, self._restart, restart)
        clock = self.clock
        for moment, place, endpoint, hold in self._requests():
            clock.run_until(moment)
            clock.now = moment
            self._arrive(endpoint, hold, 0, place)
        clock.run_until(self.scenario.duration)
        clock.now = max(clock.now, self.scenario.duration)
        self.pods.finish()
        # Processes that are refused their connections would go on trying for ever.
        clock.run_while(lambda: self._unfinished)
        return self.results.finish()

    def _requests(self) -> Iterator[tuple[float, float, int, float]]:
        """When each comes, where chance sends it, what it is for, how long it will hold its connection."""
        duration, endpoints = self.scenario.duration, self.scenario.endpoints
        shares = np.array([endpoint.share for endpoint in endpoints])
        for times in self.scenario.arrivals.times(self._of_arrivals):
            for start in range(0, len(times), _BATCH):
                batch = times[start : start + _BATCH]
                number = len(batch)
                kinds = self._of_work.choice(len(endpoints), number, p=shares / shares.sum())
                holds = np.empty(number)
                for kind, endpoint in enumerate(endpoints):
                    mine = kinds == kind
                    holds[mine] = endpoint.holds.draw(self._of_work, int(mine.sum()))
                places = self._of_places.random(number)
                columns = (column.tolist() for column in (batch, places, kinds, holds))
                for each in zip(*columns, strict=True):
                    if each[0] >= duration:
                        return
                    yield each

    def _arrive(self, endpoint: int, hold: float, attempt: int, place: float) -> None:
        serving = self.pods.serving or self._nobody
        if self.scenario.fleet.balancing == "random":
            process = serving[int(place * len(serving))]
        else:
            process = serving[self._turn % len(serving)]
            self._turn += 1
        request = Request(self.clock.now, endpoint, hold, attempt, process)
        self._unfinished += 1
        if not attempt and self.results.counts(request):
            self.results.requests += 1
        process.ask(request)

    def _watch(self, request: Request) -> None:
        """See to it that the client leaves when its time is up."""
        if not request.watched and self._leave_after is not None:
            request.watched = True
            self.clock.at(max(self.clock.now, request.arrival + self._leave_after), self._leaves, request)

    def _leaves(self, request: Request) -> None:
        if not request.is_over:
            request.has_left = True
            self._try_again(request)

    def over(self, request: Request, outcome: Outcome) -> None:
        """An attempt has ended, whether or not anybody still wants to know."""
        now = self.clock.now
        request.is_over = True
        self._unfinished -= 1
        if self._leave_after is not None and now > request.arrival + self._leave_after:
            outcome = Outcome.ABANDONED
        self.results.over(request, outcome, now)
        if outcome is not Outcome.SERVED and not request.has_left:
            self._try_again(request)
        if request.process.stopping:
            self.pods.may_end(request.process)

    def _try_again(self, request: Request) -> None:
        clients, retry = self.scenario.clients, request.attempt + 1
        if retry > clients.retries:
            self.results.unanswered += self.results.counts(request)
            return
        self._unfinished += 1
        self.clock.after(backoff(clients.pause, retry, self.dice()), self._again, request)

    def _again(self, request: Request) -> None:
        self._unfinished -= 1
        self._arrive(request.endpoint, request.hold, request.attempt + 1, self.dice())

    # What happens to all of them

    def _restart(self, restart: Restart) -> None:
        self.refusal = restart.refusal
        if self._pooler is None:
            self.database.restart(self.pods.running)
        else:
            self._pooler.suspend()
        self.interrupt(lambda _: True)
        self.clock.after(restart.seconds, self._is_back, None)

    def _is_back(self, _: None) -> None:
        self.database.is_away = False
        if self._pooler is not None:
            self._pooler.resume()

    def interrupt(self, concerns: Callable[[Process], bool]) -> None:
        """Whatever the database does for these processes fails now."""

        def is_theirs(event: Event) -> bool:
            return event[2] == self._done and concerns(event[3].request.process)

        for event in self.clock.withdraw(is_theirs):
            connection: Connection = event[3]
            request = connection.request
            assert request is not None  # noqa: S101 - it was given to one
            connection.request = None
            self.results.held(connection.taken, self.clock.now)
            if self._pooler is not None:
                self._pooler.release()
                request.process.give_back(connection, self.clock.now - connection.taken)
            else:
                request.process.lost(connection)
            self.over(request, Outcome.FAILED)

    def forget(self, processes: set[int]) -> None:
        """Those of these processes' requests that wait for the pooler fail."""
        if self._pooler is not None:
            for connection in self._pooler.drop(processes):
                request = connection.request
                assert request is not None  # noqa: S101 - it was given to one
                connection.request = None
                self.results.held(connection.taken, self.clock.now)
                self.over(request, Outcome.FAILED)
