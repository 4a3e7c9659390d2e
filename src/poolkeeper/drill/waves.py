"""What the scenarios share that teach lessons: waves of requests, and idle connections that are ended in the calms."""

from __future__ import annotations

from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.stage import Stage

# More at once than a pool of 5 has connections, fewer than one of 15 or 20.
WAVE = 12
_AT_ONCE, _APART = (WAVE / 0.01, 0.01), (4.0, 0.25)
_BUSY, _CALM = (_AT_ONCE, _APART) * 3, (1.0, 1.6)
_BUSY_FOR = sum(seconds for _, seconds in _BUSY)
# Seconds into a calm.
_KILL_AT = 0.8
_CALMS = 2
# Connects that the few requests of the calms may need.
_IN_CALMS = 5

STEADY = "three waves within a second, then 1.6 s of calm, three times over"


def load() -> PhasedLoad:
    return PhasedLoad(phases=(*_BUSY, _CALM, *_BUSY, _CALM, *_BUSY), mix={"slow": 100}, hold=0.05)


def kill_idle_in_each_calm(stage: Stage) -> None:
    """The fault."""
    for calm in range(_CALMS):
        stage.wait_until(calm * (_BUSY_FOR + _CALM[1]) + _BUSY_FOR + _KILL_AT)
        stage.terminate_backends("state = 'idle'")


def connects_needed(connections: int) -> int:
    """Of so many connections each anew after each calm, and once for its age or at the start."""
    return (_CALMS + 1) * connections + _IN_CALMS
