"""The processes of the fleet: those that serve, those that start, those that stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from poolkeeper.planner.simulate.process import Process
from poolkeeper.planner.simulate.scenario import Deploy, KeeperPolicy, Scale

if TYPE_CHECKING:
    from poolkeeper.planner.simulate.world import World

Pod: TypeAlias = list[Process]


class Pods:
    """Starts and stops pods, as a deploy or an autoscaler does."""

    def __init__(self, world: World) -> None:
        self._world, self._scenario = world, world.scenario
        policy = self._scenario.policy
        if isinstance(policy, KeeperPolicy):
            self._places = policy.limits.pool_size + policy.limits.max_overflow
        else:
            self._places = policy.pool_size + policy.max_overflow
        self._pods: list[Pod] = []
        self._since: dict[Process, float] = {}
        self.serving: list[Process] = []

    @property
    def running(self) -> list[Process]:
        """All that have not ended."""
        return list(self._since)

    def start(self) -> None:
        """The fleet as it is at first, ready to serve."""
        for _ in range(self._scenario.fleet.pods):
            self.serving += self._new_pod()
        for change in self._scenario.changes:
            self._world.clock.at(change.at, self._change, change)

    def finish(self) -> None:
        """Count what the processes that run to the end had to offer."""
        for process in self._since:
            self._count(process)
            self._since[process] = math.inf

    def _new_pod(self) -> Pod:
        pod = [self._world.new_process() for _ in range(self._scenario.fleet.workers)]
        self._pods.append(pod)
        for process in pod:
            self._since[process] = self._world.clock.now
            process.start()
        return pod

    def _change(self, change: Deploy | Scale) -> None:
        if isinstance(change, Deploy):
            self._replace((change, list(self._pods)))
            return
        missing = change.pods - len(self._pods)
        if missing > 0:
            new = [process for _ in range(missing) for process in self._new_pod()]
            self._world.clock.after(change.startup, self._are_ready, new)
        elif missing < 0:
            self._stop(self._pods[change.pods :], change.grace)

    def _replace(self, work: tuple[Deploy, list[Pod]]) -> None:
        """Start pods for the next ones to stop, until none of the old ones is left."""
        deploy, all_old = work
        old = [pod for pod in all_old if not pod[0].stopping]
        if old:
            new = [process for _ in old[: deploy.surge] for process in self._new_pod()]
            self._world.clock.after(deploy.startup, self._swap, (deploy, old, new))

    def _swap(self, work: tuple[Deploy, list[Pod], list[Process]]) -> None:
        deploy, old, new = work
        self._are_ready(new)
        self._stop(old[: deploy.surge], deploy.grace)
        self._replace((deploy, old[deploy.surge :]))

    def _are_ready(self, new: list[Process]) -> None:
        self.serving += [process for process in new if not process.stopping]

    def _stop(self, pods: list[Pod], grace: float) -> None:
        """They get no more requests, and end with the last they have."""
        going = [process for pod in pods for process in pod if not process.stopping]
        for process in going:
            process.stopping = True
        self._pods = [pod for pod in self._pods if not pod[0].stopping]
        self.serving = [process for process in self.serving if not process.stopping]
        if grace:
            for process in going:
                self.may_end(process)
            self._world.clock.after(grace, self._cut_off, going)
        else:
            self._cut_off(going)

    def may_end(self, process: Process) -> None:
        """A process that stops ends when nothing is under way in it."""
        if not process.ended and not process.under_way:
            self._end(process)

    def _cut_off(self, processes: list[Process]) -> None:
        late = [process for process in processes if not process.ended]
        if not late:
            return
        ids = {id(process) for process in late}
        for process in late:
            # From here on its requests only fail; nothing they give back is handed out again.
            process.send_all_away()
        self._world.forget(ids)
        self._world.interrupt(lambda process: id(process) in ids)
        for process in late:
            if not process.ended:
                self._end(process)

    def _end(self, process: Process) -> None:
        process.end()
        database = self._world.database
        if process.sessions:
            database.closed(process, database.generation, process.sessions)
        self._count(process)
        del self._since[process]

    def _count(self, process: Process) -> None:
        self._world.results.offered(self._places, self._since[process], self._world.clock.now)
