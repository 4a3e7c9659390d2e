"""Were successes true? Every transfer of a drill is written down, by its caller's number, in its own transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from poolkeeper.drill.figures import Books
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.stacks.routes import LEDGER
from poolkeeper.drill.stage import Stage

# Not unique: a transfer that was done twice is to be seen, not refused.
CREATE_LEDGER = f"CREATE TABLE {LEDGER} (number bigint NOT NULL, payer bigint, payee bigint, amount bigint)"

_NUMBERS = f"SELECT number FROM {LEDGER}"  # noqa: S608
# Balances and prices are whole cents. All customers began with the same balance.
_OFF = f"""
WITH moved AS (
    SELECT payer AS id, -amount AS amount FROM {LEDGER}
    UNION ALL SELECT payee, amount FROM {LEDGER}
    UNION ALL SELECT customer_id, -total FROM orders WHERE status = 'paid'
), expected AS (
    SELECT customers.id, balance, %d + coalesce(sum(moved.amount), 0) AS expected
    FROM customers LEFT JOIN moved ON moved.id = customers.id GROUP BY customers.id, balance
)
SELECT count(*) FROM expected WHERE balance <> expected
"""  # noqa: S608
_OPENING_BALANCE = 100_000_000


def audit(stage: Stage, outcomes: Iterable[Outcome]) -> Books:
    """Compare what callers were told with what is there. Call it when the service has ended."""
    there = Counter(int(number or 0) for (number,) in stage.server.query(_NUMBERS, database=stage.database))
    told = {each.number for each in outcomes if each.number is not None and each.kind == "ok"}
    return Books(
        missing=len(told - there.keys()),
        doubled=sum(count > 1 for count in there.values()),
        off=stage.number(_OFF % _OPENING_BALANCE),
    )
