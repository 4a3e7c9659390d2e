"""The numbers that more than one rule goes by. Those of a single rule stand in its file."""

from __future__ import annotations

# Causes are looked for in the last seconds of the window: what a longer one averages away may have just begun.
LATELY = 30.0

# A healthy checkout is served in less than 1 ms (measured); from here on callers notice that they wait.
NOTICEABLE_WAIT = 0.05

# A pool that is full for this long with nobody coming back makes the next caller wait, though none does yet.
FULL_FOR = 1.0

# While callers wait. An ordinary statement takes a few milliseconds, so these are far out of the ordinary; code between
# two statements takes less still.
LONG_IN_SQL = 0.25
LONG_GAP = 0.1

# A response that has been under way for this long with a connection keeps it, also where it fetches now and then.
LONG_STREAM = 1.0

# While nobody waits, only what is old is told: a report may run for seconds and hurt no one. 30 s is the usual
# pool_timeout: a caller who waited for this very connection would have failed.
OLD = 30.0

# Lock waits, lost connections and leaks are faults whatever the load. Locks of ordinary transactions are free within
# seconds; a look at the pool and a look at the server are up to a second apart; a task ends a moment after its work.
OLD_LOCK_WAIT = 5.0
LOST_AFTER = 2.0
LEAKED_AFTER = 1.0

# With this share of the connections in one plight it explains why others wait; with less than the second, others do.
DOMINANT = 0.3
MINOR = 0.15

# Facts that are older, or younger, say little about the sessions of these very moments.
FACTS_FRESH = 10.0

# Of statements that are slow together, this share has to be one and the same to be called the cause.
ONE_SHAPE = 0.6
