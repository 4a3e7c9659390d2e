"""The guide lists every cause, and no other."""

from __future__ import annotations

import re

from tests.diagnosis.cases import CAUSES
from tests.docs.pages import ROOT, table_rows

GUIDE = ROOT / "docs/guides/explain.md"
DIAGNOSIS = ROOT / "src/poolkeeper/diagnosis/rules"
# How rules write their code: the first argument, or the keyword.
_CODE = re.compile(r'finding\(\s*"([a-z-]+)"|code="([a-z-]+)"')


def codes() -> set[str]:
    found = [
        code for path in DIAGNOSIS.glob("*.py") for pair in _CODE.findall(path.read_text("utf-8")) for code in pair
    ]
    # One rule speaks of two.
    return {code for code in found if code} | {"connect-failed"}


def test_the_guide_lists_every_cause() -> None:
    listed = [code.strip("` ") for row in table_rows(GUIDE, "Code") for code in row[0].split(",")]
    assert len(listed) == len(set(listed))
    assert set(listed) == codes() | {"connect-network"}


def test_every_cause_has_a_case() -> None:
    signals = {"checkout-wait-high", "pool-full", "checkins-behind"}
    quiet = {"deadlocks", "leak-collected", "stale-connections"}
    assert {cause.code for cause in CAUSES} == codes() - signals - quiet | {"connect-network"}
