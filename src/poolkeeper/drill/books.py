"""Were successes true? Every transfer of a drill is written down, by its caller's number, in its own transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from poolkeeper.drill.figures import Books
from poolkeeper.drill.phased import Outcome
from poolkeeper.drill.stacks.routes import LEDGER
from poolkeeper.drill.stage import Stage

_NUMBERS = "SELECT number FROM {ledger}"
# Balances and prices are whole cents. All customers began with the same balance.
_OFF = """
WITH moved AS (
    SELECT payer AS id, -amount AS amount FROM {ledger}
    UNION ALL SELECT payee, amount FROM {ledger}
    UNION ALL SELECT customer_id, -total FROM {prefix}orders WHERE status = 'paid'
), expected AS (
    SELECT customers.id, balance, {opening} + coalesce(sum(moved.amount), 0) AS expected
    FROM {prefix}customers AS customers LEFT JOIN moved ON moved.id = customers.id GROUP BY customers.id, balance
)
SELECT count(*) FROM expected WHERE balance <> expected
"""
_OPENING_BALANCE = 100_000_000


def create_ledger(prefix: str = "") -> str:
    """The statement that makes the table. Not unique: a transfer that was done twice is to be seen, not refused."""
    return f"CREATE TABLE {prefix}{LEDGER} (number bigint NOT NULL, payer bigint, payee bigint, amount bigint)"


def audit(stage: Stage, outcomes: Iterable[Outcome]) -> Books:
    """Compare what callers were told with what is there. Call it when the service has ended."""
    names = {"ledger": f"{stage.prefix}{LEDGER}", "prefix": stage.prefix, "opening": _OPENING_BALANCE}
    rows = stage.server.query(_NUMBERS.format(**names), database=stage.database)
    there = Counter(int(number or 0) for (number,) in rows)
    told = {
        each.number for each in outcomes if each.route == "transfer" and each.number is not None and each.kind == "ok"
    }
    return Books(
        missing=len(told - there.keys()),
        doubled=sum(count > 1 for count in there.values()),
        off=stage.number(_OFF.format(**names)),
    )
