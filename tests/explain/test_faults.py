"""The switch of the example service's faults."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest
from tests.docs.pages import ROOT, table_rows

from poolkeeper.drill import reference_service

LOADED = "import sys, orders.main; print([name for name in sys.modules if name.startswith('orders.faults.')])"


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(reference_service())
    return importlib.import_module("orders.faults")


def test_none_is_chosen_unless_it_is_named(faults: ModuleType) -> None:
    assert faults.chosen({}) == faults.chosen({"ORDERS_FAULTS": " ,"}) == []
    assert faults.chosen({"ORDERS_FAULTS": "slow-query, leak,leak"}) == ["slow-query", "leak"]


def test_a_name_that_is_no_fault_is_refused_with_all_that_are(faults: ModuleType) -> None:
    with pytest.raises(faults.UnknownFault) as refused:
        faults.chosen({"ORDERS_FAULTS": "leak,leek,lock"})
    assert "leek, lock" in str(refused.value)
    assert all(name in str(refused.value) for name in faults.FAULTS)


def test_each_fault_is_a_file_and_takes_the_place_of_the_route_that_is_told(faults: ModuleType) -> None:
    files = {path.stem for path in (reference_service() / "orders/faults").glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in faults.FAULTS}
    rows = table_rows(ROOT / "examples/orders/README.md", "fault")
    assert {name.strip("`"): route.strip("`") for name, route, _ in rows} == faults.FAULTS


@pytest.mark.slow
@pytest.mark.parametrize("names", ["", "leak,slow-query"])
def test_only_what_is_chosen_is_loaded(names: str) -> None:
    environment = {"PYTHONPATH": str(reference_service()), "DATABASE_URL": "sqlite+aiosqlite://"}
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=environment | {"ORDERS_FAULTS": names},
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = [f"orders.faults.{name.replace('-', '_')}" for name in names.split(",") if name]
    assert done.stdout.strip() == str(wanted)
