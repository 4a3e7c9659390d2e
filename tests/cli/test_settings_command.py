"""`poolkeeper settings` as a user runs it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from poolkeeper.cli import main

SECRET = "hush4711"
URL = f"postgresql+asyncpg://reader:{SECRET}@db/shop"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def safe(done: Done) -> Done:
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done


def process(*arguments: str, **environ: str) -> Done:
    """The command in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith("DATABASE_")}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, env=clean | environ, check=False
    )
    return safe(Done(done.returncode, done.stdout, done.stderr))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The same command in this process, which is ten times faster."""
    for name in os.environ:
        if name.upper().startswith("DATABASE_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)

    def here(*arguments: str, **environ: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["poolkeeper", *arguments])
            with pytest.raises(SystemExit) as left:
                main()
        code = left.value.code
        return safe(Done(code if isinstance(code, int) else int(code is not None), *capsys.readouterr()))

    return here


def test_it_runs_as_a_module():
    done = process("-m", "poolkeeper", "settings", "--url", URL, DATABASE_POOL_TIMEOUT="15", DATABASE_POOL_RECYCLE="0")
    assert "environment DATABASE_POOL_TIMEOUT" in done.stdout
    assert "recycle-zero" in done.stdout
    assert done.returncode == 1


def test_the_effective_settings_are_shown_with_their_origin(run):
    done = run("settings", "--url", URL, DATABASE_POOL_TIMEOUT="15")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "pool_size 20 profile bounded" in lines
    assert "pool_timeout 15.0 environment DATABASE_POOL_TIMEOUT" in lines
    assert "url postgresql+asyncpg://reader:***@db/shop argument" in lines
    assert done.returncode == 0


def test_warnings_are_shown_and_do_not_fail(run):
    done = run("settings", DATABASE_URL=URL, DATABASE_POOL_PRE_PING="false", DATABASE_POOL_SZIE="3")
    assert "warning: pre-ping-off (pool_pre_ping)" in done.stdout
    assert "Write DATABASE_POOL_SIZE" in done.stdout
    assert done.returncode == 0


def test_all_errors_are_shown_and_fail(run):
    done = run("settings", "--profile", "fast", DATABASE_URL=URL, DATABASE_POOL_SIZE="-5", DATABASE_POOL_RECYCLE="0")
    for code in ("(profile)", "(pool_size)", "recycle-zero (pool_recycle)"):
        assert code in done.stdout
    assert done.returncode == 1


def test_errors_between_settings_still_show_the_settings(run):
    done = run("settings", "--url", URL, DATABASE_CLIENT_TIMEOUT="0.05")
    assert "client-timeout-too-short" in done.stdout
    assert "profile bounded" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "returncode"),
    [
        (["--url", URL], {}, None, 0),
        (["--url", f"postgres://u:{SECRET}@h/d"], {}, "driver-not-named", 1),
        (["--url", f"u:{SECRET}@h/d"], {}, "setting-not-valid", 1),
        ([], {}, "setting-missing", 1),
        (
            ["--url", URL, "--provider", "neon-pooler"],
            {"DATABASE_STATEMENT_TIMEOUT": "5"},
            "pooler-refuses-parameter",
            1,
        ),
    ],
    ids=["fine", "no driver", "no url", "nothing", "pooler"],
)
def test_json_holds_settings_origins_and_findings(run, arguments, environ, code, returncode):
    done = run("settings", "--json", *arguments, **environ)
    result = json.loads(done.stdout)
    assert done.returncode == returncode
    assert [finding["code"] for finding in result["findings"]] == ([code] if code else [])
    if code is None:
        assert result["settings"]["pool_size"] == {"value": 20, "origin": "profile bounded"}
        assert result["pooler"] == "none"


@pytest.mark.parametrize("arguments", [["settings", "--speed", "9"], ["nonsense"], ["settings", "extra"], []])
def test_a_wrong_command_line_is_told_apart_from_wrong_settings(run, arguments):
    assert run(*arguments).returncode == 2


def test_no_colours_where_they_are_not_wanted(run):
    assert "\x1b[" in run("settings", "--url", URL, FORCE_COLOR="1").stdout
    assert "\x1b[3" not in run("settings", "--url", URL, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b" not in run("settings", "--url", URL).stdout


def test_brackets_are_shown_as_they_are(run):
    assert "@[::1]:5432/d" in run("settings", "--url", "postgresql+asyncpg://u@[::1]:5432/d").stdout


def test_the_version_is_printed(run):
    done = run("--version")
    assert done.stdout.startswith("poolkeeper 0.")
    assert done.returncode == 0


def test_the_list_of_commands_needs_none_of_them():
    code = """
import sys
from poolkeeper.cli import main
sys.argv = ["poolkeeper", "--help"]
try:
    main()
finally:
    assert not {name for name in sys.modules if name in ("rich", "uvicorn", "httpx", "poolkeeper.drill")}
"""
    done = process("-c", code)
    assert "settings" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("typer", "settings", "cli"),
        ("rich", "settings", "cli"),
        ("poolkeeper.drill", "demo", "demo"),
        ("numpy", "plan --rps 1 --hold 1ms", "plan"),
    ],
)
def test_a_missing_extra_is_told_in_one_line(missing, command, extra):
    code = f"""
import sys
sys.modules[{missing!r}] = None
from poolkeeper.cli import main
sys.argv = ["poolkeeper", *{command!r}.split()]
main()
"""
    done = process("-c", code, DATABASE_URL=URL)
    assert (
        done.stderr.strip()
        == f"poolkeeper: {missing.partition('.')[0]} is not installed: pip install 'poolkeeper[{extra}]'"
    )
    assert done.returncode == 2
