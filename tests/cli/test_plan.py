"""`poolkeeper plan` as a user runs it: its output, its exit code, its errors."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import poolkeeper.planner.plan  # noqa: F401 - the command imports it when it runs
from poolkeeper.cli import main
from poolkeeper.cli.plan_file import template
from poolkeeper.cli.workload_flags import FLAGS
from poolkeeper.planner.reading import workload_of
from poolkeeper.planner.workload import DatabaseServer, PoolerLimits, Service, fields_of

EXAMPLE = ["--rps", "400", "--hold", "50ms", "--pods", "2", "--workers", "4", "--max-connections", "200"]
TWO_SERVICES = """\
[services.orders]
rps = 40
hold = "50ms"
[services.search]
rps = 100
hold = "20ms"
"""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        return self.stderr.splitlines()


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def here(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["poolkeeper", "plan", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        code, (out, error) = left.value.code, capsys.readouterr()
        # What is not a number is what Python prints when it ends.
        done = Done(code, out, error) if isinstance(code, int) else Done(1, out, f"{error}{code}")
        assert "Traceback" not in done.stderr
        return done

    return here


def test_it_fits(run):
    done = run(*EXAMPLE)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "It fits: 96 of 155 available connections at most (rolling deploy)." in lines
    assert any(line.startswith("pool_size 6 peak: 50/s x 50ms = 2.5 in use") for line in lines)
    assert "connections to the server minimum now maximum rolling deploy zone lost" in lines
    assert "all 48 48 48 96 48" in lines
    assert any(line.startswith("peak 400 42% 4.7% 0s 0s 22.2ms 0 0") for line in lines)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_does_not_fit(run):
    done = run(*EXAMPLE, "--pool-size", "20")
    assert "It does not fit." in done.stdout
    assert re.search(r"too many\s+\+5\s+\+5\s+\+5\s+\+165\s+\+5", done.stdout)
    assert "plan-over-budget (server)" in done.stdout
    assert "1. smaller pools: pool_size + max_overflow in each process: service 20 -> 9." in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(("more", "code"), [((), 0), (("--pool-size", "20"), 1)])
def test_json(run, more, code):
    done = run(*EXAMPLE, *more, "--json")
    result = json.loads(done.stdout)
    assert (result["fits"], done.returncode) == (not code, code)
    assert result["settings"]["service"]["environment"]["DATABASE_MAX_CONNECTIONS"] == "200"


def test_the_settings_alone(run):
    assert "DATABASE_POOL_SIZE=6\n" in run(*EXAMPLE, "--env").stdout
    python = run(*EXAMPLE, "--python").stdout
    compile(python, "plan", "exec")
    assert "    pool_size=6,\n" in python
    assert run(*EXAMPLE, "--env", "--pool-size", "20").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ([], ["--rps: rps is not given", "--hold: hold is not given"]),
        (["--rps", "0", "--hold", "50ms"], ["--rps: rps is '0'"]),
        (["--rps", "nan", "--hold", "50"], ["--rps: rps is 'nan'", "--hold: hold is '50'"]),
        (["--rps", "-1", "--hold", "50ms"], ["--rps: rps is '-1'"]),
        (["--rps", "4", "--hold", "3s", "--client-timeout", "2s"], ["--hold: hold is 3s, client_timeout 2s"]),
        (
            ["--rps", "40000", "--hold", "50ms"],
            ["--max-connections: 2000 connections in use on average at peak (rps x hold)"],
        ),
        (["--rps", "4", "--hold", "50ms", "--pooler", "statement"], ["--pooler: mode is 'statement'"]),
        (["nowhere.toml"], ["nowhere.toml: No such file or directory"]),
        ([".", "--rps", "1"], [".: Is a directory"]),
        (["--rps", "1", "--hold", "1ms", "--env", "--json"], ["choose one of --json, --env, --python"]),
    ],
)
def test_bad_input_is_told_in_a_line_each(run, arguments, errors):
    done = run(*arguments)
    assert done.returncode == 2
    assert len(done.errors) == len(errors)
    for line, expected in zip(done.errors, errors, strict=True):
        assert line.startswith(f"error: {expected}")
    assert done.stdout == ""


def test_an_option_that_does_not_exist(run):
    done = run("--rsp", "400")
    assert done.returncode == 2
    assert "No such option: --rsp" in done.stderr


def test_every_value_of_a_workload_is_an_option(run):
    shown = run("--help").stdout
    for name in FLAGS:
        assert f"--{name.replace('_', '-')}" in shown
    # The histogram is a table, and any option of the pooler says that a service goes through it.
    total = sum(len(fields_of(kind)) for kind in (Service, DatabaseServer, PoolerLimits))
    assert len(FLAGS) == total - 2


def test_options_for_a_pooler_put_the_service_behind_it(run):
    done = run(*EXAMPLE, "--pooler", "transaction", "--pooler-pool-size", "24", "--max-client-conn", "500")
    assert "connections to the pooler" in done.stdout
    assert "peak, in the pooler" in done.stdout
    assert done.returncode == 0


# The file


def test_a_file_that_was_written_can_be_planned(run, tmp_path):
    assert run("--init").stdout == "plan.toml is written. Change it, then: poolkeeper plan plan.toml\n"
    assert run("plan.toml").returncode == 0
    assert (tmp_path / "plan.toml").read_text(encoding="utf-8") == template()


def test_a_file_that_exists_is_never_overwritten(run, tmp_path):
    (tmp_path / "mine.toml").write_text("rps = 1\n", encoding="utf-8")
    done = run("mine.toml", "--init")
    assert (done.returncode, done.errors) == (
        2,
        ["error: mine.toml: it exists already, and stays as it is; name another file"],
    )
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "rps = 1\n"
    assert run("there/mine.toml", "--init").errors == ["error: there/mine.toml: No such file or directory"]


def test_every_line_of_the_written_file_can_be_used():
    text = re.sub(r"^# (?=\[|\w+ = )", "", template(), flags=re.MULTILINE)
    document = tomllib.loads(text)
    named = {"hold_histogram", "pooler"}
    assert document["services"]["orders"].keys() == fields_of(Service).keys() - {"name"}
    assert document["server"].keys() - named == fields_of(DatabaseServer).keys()
    # Two ways to say the same thing, and a service that has to go through the pooler.
    del document["services"]["orders"]["hold_histogram"]
    document["services"]["orders"]["pooler"] = True
    assert workload_of(document).server.pooler == PoolerLimits()


def test_options_win_over_the_file(run, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(TWO_SERVICES.partition("[services.search]")[0], encoding="utf-8")
    assert json.loads(run("plan.toml", "--json").stdout)["fits"]
    assert not json.loads(run("plan.toml", "--json", "--pods", "40", "--max-connections", "50").stdout)["fits"]


def test_of_several_services_one_has_to_be_named(run, tmp_path):
    (tmp_path / "plan.toml").write_text(TWO_SERVICES, encoding="utf-8")
    assert run("plan.toml").returncode == 0
    assert run("plan.toml", "--cores", "4").returncode == 0
    done = run("plan.toml", "--rps", "100")
    assert done.errors == ["error: say with --name which service the options are about: orders, search"]
    named = json.loads(run("plan.toml", "--rps", "50", "--name", "search", "--json").stdout)
    assert named["services"]["search"]["queues"][0]["checkouts_per_second"] == 50
    assert named["services"]["orders"]["queues"][0]["checkouts_per_second"] == 40


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"rps = ", "plan.toml: it is not TOML: Invalid value (at end of document)"),
        (b"\xff", "plan.toml: it is not UTF-8, which TOML has to be"),
        (b"x = " + b"9" * 5000, "plan.toml: it is not TOML: Exceeds the limit"),
        (b"", "plan.toml, services: no service is given"),
        (b"[services.o]\nrps=1\nhold='1ms'\npds=2", "plan.toml, services.o.pds: nothing reads pds; "),
        (b"[services.o]\nrps=1\nhold=1979-05-27", "plan.toml, services.o.hold: hold is datetime.date(1979, 5, 27)"),
    ],
)
def test_a_file_that_cannot_be_used(run, tmp_path, text, error):
    (tmp_path / "plan.toml").write_bytes(text)
    done = run("plan.toml")
    assert done.returncode == 2
    assert len(done.errors) == 1
    assert done.errors[0].startswith(f"error: {error}")


def test_options_cannot_change_what_is_no_table(run, tmp_path):
    (tmp_path / "plan.toml").write_text("server = 3\n" + TWO_SERVICES, encoding="utf-8")
    assert run("plan.toml", "--cores", "2").errors == [
        "error: options cannot change 3 in the file: a table of names and values is needed"
    ]


# The terminal


@pytest.mark.parametrize(
    ("environ", "coloured"), [({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False), ({}, False)]
)
def test_colours(monkeypatch, run, environ, coloured):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[1;31m" in run(*EXAMPLE, "--pool-size", "20").stdout) is coloured


def test_without_what_it_computes_with_it_says_what_to_install(monkeypatch, run):
    for module in ("plan", "figures", "losses"):
        monkeypatch.delitem(sys.modules, f"poolkeeper.planner.{module}")
    monkeypatch.setitem(sys.modules, "numpy", None)
    done = run(*EXAMPLE)
    assert done == (2, "", "poolkeeper: numpy is not installed: pip install 'poolkeeper[plan]'\n")


def test_a_simulation_shows_both_pools(run: Run) -> None:
    small = ["--rps", "20", "--hold", "50ms", "--client-timeout", "2s", "--max-connections", "100"]
    shown = run(*small, "--simulate")
    assert shown.returncode == 0
    rows = [line.split() for line in shown.stdout.splitlines() if re.match(r"service +\w+ +(KeeperPool|stock)", line)]
    assert [row[1] for row in rows] == ["peak", "peak", "burst", "burst", "overload", "overload"]
    assert len(shown.errors) == len(rows)
    played = json.loads(run(*small, "--simulate", "--json").stdout)["simulation"]
    ours, stock = played[-2:]
    assert (ours["pool"], stock["pool"]) == ("KeeperPool", "stock pool")
    assert ours["served"] > stock["served"]
    assert "simulation" not in json.loads(run(*small, "--json").stdout)
