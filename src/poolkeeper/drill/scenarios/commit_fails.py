"""COMMIT fails, after everything before it went well."""

from __future__ import annotations

from collections.abc import Iterable

from poolkeeper.drill.figures import Figures
from poolkeeper.drill.phased import PhasedLoad
from poolkeeper.drill.scenario import Scenario
from poolkeeper.drill.stacks.routes import LEDGER
from poolkeeper.drill.stage import Stage
from poolkeeper.drill.verdict import Check, at_least, nothing_left, served

# Checked at COMMIT, as a foreign key can be, and as a serialisable transaction is.
_REFUSING = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {LEDGER} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.number % 5 = 0) EXECUTE FUNCTION refuse()
"""


def refuse_each_fifth(stage: Stage) -> None:
    stage.execute(_REFUSING)


def expect(figures: Figures) -> Iterable[Check]:
    yield served(figures)
    # Also that the fault was there: a stack that answers nothing but success has not told the truth.
    yield at_least("commits that were reported as failed", figures.failed + figures.refused, 1)
    yield from nothing_left(figures)


SCENARIO = Scenario(
    name="commit-fails",
    question="The server refuses each fifth COMMIT. Is anybody told that it went well?",
    steady="transfers, 60 per second",
    predicted="`yield session; await session.commit()` commits after the response: a fifth of the successes is a lie. "
    "In function scope, and with poolkeeper, each is an error.",
    breaks=frozenset({"naive", "guide"}),
    before=refuse_each_fifth,
    load=PhasedLoad(phases=((60, 2.5),), mix={"transfer": 100}),
    expect=expect,
    chief=("200 for lost work", lambda figures: f"{figures.wrong} wrong"),
    quick=True,
    intrusive="it adds a function and a trigger",
)
