"""A host from which nothing comes back any more: neither to whoever looks at it, nor to anybody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from poolkeeper.database.engines import PooledEngine
from poolkeeper.engine.commands import Command, Commands

log = logging.getLogger("poolkeeper")


class Silence:
    """Cuts off what awaits an answer of such a host, long before `command_timeout`.

    A look that is not answered in time is no proof: a host may be slow, and a statement long. Two in a row are, if
    from one to the next no command on the connections to that host was answered either. What was under way at the
    first is cut off at the second; its callers get the error of a broken connection. `name` is how the log calls the
    host, `pooled` gives its engines.
    """

    def __init__(self, name: Callable[[], str], pooled: Callable[[], Sequence[PooledEngine]]) -> None:
        self._name, self._pooled = name, pooled
        # Of the latest look, if it was not answered: the answers by then, and what was under way.
        self._before: tuple[int, list[tuple[Commands, frozenset[Command]]]] | None = None

    def heard(self, *, nothing: bool) -> None:
        """Note a look: `nothing` where no answer came in time. On the event loop of the engines."""
        before, self._before = self._before, None
        if not nothing:
            return
        commands = [pooled.commands for pooled in self._pooled()]
        answers = sum(each.answers for each in commands)
        if before is not None and before[0] == answers:
            cut_off = sum(each.abort_those(awaited) for each, awaited in before[1])
            if cut_off:
                log.warning("%s: nothing comes back any more; %d commands were cut off", self._name(), cut_off)
        self._before = answers, [(each, each.under_way()) for each in commands]

    def forget(self) -> None:
        """The engines lead to another host."""
        self._before = None
