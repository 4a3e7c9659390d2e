"""The benchmarks can be run, and what they write can be read by people and by programs."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Nothing of a machine belongs into results that are kept.
OF_A_MACHINE = re.compile(r"127\.0\.0\.1|localhost|/(work|home|root|tmp|opt|usr)/")


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def tiny_spike() -> tuple[Callable[[list[str]], None], str]:
    spike, report = import_module("bench.spike"), import_module("bench.report")
    contenders = [each for each in spike.CONTENDERS if each.name in (spike.BEST, f"{spike.OURS}, asyncpg")]
    empty = report.Report("spike", "A tiny spike", "Two pools, one round.")
    measure = partial(spike.measure, contenders=contenders, rounds=1)
    return partial(report.run, empty, measure), empty.name


@pytest.mark.slow
def test_a_benchmark_writes_and_prints_what_it_measured(tiny_spike, tmp_path: Path, capsys) -> None:
    run, name = tiny_spike

    run(["--json", "--results", str(tmp_path)])

    text = (tmp_path / f"{name}.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert_well_formed(text, (tmp_path / f"{name}.md").read_text(encoding="utf-8"))


def assert_well_formed(text: str, markdown: str) -> None:
    found = json.loads(text)
    assert {"date", "cores", "Python", "sqlalchemy"} <= found["machine"].keys()
    assert found["targets"]
    for target in found["targets"]:
        assert isinstance(target["reached"], bool)
        assert f"| {target['what']} | {target['to_reach']} | {target['measured']} |" in markdown
    for table in found["tables"]:
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
        assert f"### {table['title']}" in markdown
    assert not OF_A_MACHINE.search(text)


def test_a_missed_target_fails_only_where_that_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    report = import_module("bench.report")

    def measure(found) -> None:
        found.target("speed", "light's", "sound's", reached=False)

    def run(*arguments: str) -> None:
        report.run(report.Report("speed", "Speed", "Here."), measure, ["--results", str(tmp_path), *arguments])

    run()
    with pytest.raises(SystemExit, match="1"):
        run("--check")
    assert "| speed | light's | sound's | **not reached** |" in (tmp_path / "speed.md").read_text(encoding="utf-8")


def test_every_benchmark_of_the_list_says_how_it_is_used() -> None:
    for name in import_module("bench.__main__").NAMES:
        assert (ROOT / "bench" / f"{name.replace('-', '_')}.py").exists()
    usage = subprocess.run([sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, check=True).stdout
    assert "--check" in usage
    refused = subprocess.run([sys.executable, "-m", "bench", "no-such"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2


@pytest.mark.parametrize("path", sorted((ROOT / "bench/results").glob("*.json")), ids=lambda path: path.stem)
def test_results_that_are_kept_are_well_formed(path: Path) -> None:
    assert_well_formed(path.read_text(encoding="utf-8"), path.with_suffix(".md").read_text(encoding="utf-8"))
