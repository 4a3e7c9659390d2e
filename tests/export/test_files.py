"""What a process writes for the others. In processes of their own: the client decides at import how it counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

BEGIN = """
    import asyncio, json, os, sys
    from dataclasses import replace
    from tests.export.moments import BUSY, UNUSED, histogram, value, values
    from poolkeeper.model import Totals, Timings
    from poolkeeper.observe.prometheus_files import shared_metrics

    shared = shared_metrics(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    now = BUSY

    def source():
        return now

    def told(name, **labels):
        return value(shared.registry, name, **labels)

    def tell(*values):
        print(json.dumps(values), flush=True)

    WAITS = "db_client_connection_wait_time_seconds"
    TRACKED = ("poolkeeper_requests_total", f"{WAITS}_count", "poolkeeper_event_loop_lag_seconds_count")

    def tracked():
        return [told(name) for name in TRACKED]

    async def main():
        global now
"""


def run(folder: Path, body: str) -> list[Any]:
    """What each `tell()` of the program said."""
    program = textwrap.dedent(BEGIN) + textwrap.indent(textwrap.dedent(body), "    ") + "\nasyncio.run(main())\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_counts_grow_by_what_is_new(tmp_path: Path) -> None:
    said = run(
        tmp_path / "made" / "here",
        """
        shared.start(source)
        tell(*tracked(), told(f"{WAITS}_bucket", le="0.5"), told(f"{WAITS}_sum"))
        shared.refresh()
        tell(*tracked())
        waits = replace(BUSY.timings, waits=BUSY.timings.waits + histogram(0.2))
        now = replace(BUSY, totals=replace(BUSY.totals, requests=1001), timings=waits, waiting=1)
        shared.refresh()
        tell(*tracked(), told(f"{WAITS}_bucket", le="0.5"), told("db_client_connection_pending_requests"))
        """,
    )
    assert said == [[1000, 4, 3, 3, 7.3], [1000, 4, 3], [1001, 5, 3, 4, 1]]


def test_a_pool_that_begins_anew_adds_to_what_was(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        shared.start(source)
        now = replace(BUSY, totals=Totals(requests=7), timings=Timings(waits=histogram(0.1)))
        shared.refresh()
        tell(*tracked())
        """,
    )
    assert said == [[1007, 5, 3]]


def test_a_file_that_another_process_has_only_just_made_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    assert run(tmp_path, "shared.start(source)\ntell(*tracked())") == [[1000, 4, 3]]


def test_pools_that_leave_take_their_gauges_and_not_their_counts(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        def other():
            return replace(BUSY, waiting=1)

        shared.start(source)
        shared.start(other)
        tell(*tracked(), told("db_client_connection_pending_requests"), told("poolkeeper_workers"))
        shared.stop(other)
        tell(*tracked(), told("db_client_connection_pending_requests"), told("poolkeeper_workers"))
        shared.stop(source)
        tell(*tracked(), told("db_client_connection_pending_requests"), told("poolkeeper_workers"))
        """,
    )
    assert said == [[2000, 8, 3, 6, 1], [2000, 8, 3, 5, 1], [2000, 8, 3, 0, 0]]


def test_a_forked_worker_counts_what_it_does_itself(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        shared.start(source)
        child = os.fork()
        if not child:
            now = replace(BUSY, totals=replace(BUSY.totals, requests=1005))
            shared.refresh()
            os._exit(0)
        os.waitpid(child, 0)
        tell(*tracked(), told("poolkeeper_workers"))
        shared.sweep()
        tell(*tracked(), told("poolkeeper_workers"))
        """,
    )
    assert said == [[1005, 4, 3, 2], [1005, 4, 3, 1]]


def test_a_process_that_ends_leaves_no_gauges(tmp_path: Path) -> None:
    (pid,) = run(tmp_path, "shared.start(source)\ntell(os.getpid())")[0]

    left = {path.name for path in tmp_path.glob("*.db")}
    assert left == {f"counter_{pid}.db", f"histogram_{pid}.db"}


def test_gauges_of_processes_that_were_killed_are_swept_at_start(tmp_path: Path) -> None:
    (pid,) = run(tmp_path, "shared.start(source)\ntell(os.getpid())\nsys.stdout.flush()\nos._exit(0)")[0]
    assert list(tmp_path.glob(f"gauge_live*_{pid}.db"))

    said = run(tmp_path, 'shared.start(source)\ntell(*tracked(), told("poolkeeper_workers"))')
    assert said == [[2000, 8, 6, 1]]


def test_a_folder_that_is_named_too_late_is_an_error_in_the_log(tmp_path: Path) -> None:
    program = f"""
import os, prometheus_client
os.environ["PROMETHEUS_MULTIPROC_DIR"] = {str(tmp_path)!r}
from poolkeeper.observe.prometheus_files import shared_metrics
shared_metrics({str(tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "no pool is exported: prometheus_client was imported before" in done.stderr
