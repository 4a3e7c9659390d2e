"""Runs benchmarks one after the other, each in a process of its own, and sums up which targets they reached.

Usage: python -m bench [NAME...] [--json] [--check] [--results FOLDER]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.report import add_options, progress, show_targets

NAMES = (
    "fairness",
    "outage",
    "deadline",
    "liveness",
    "silent_drop",
    "spike",
    "recycle",
    "overload",
    "uncontended",
    "observation",
    "waiting",
    "cold_start",
    "cancelled",
    "unit_of_work",
    "failover",
    "kills",
    "simulation",
    "plan-accuracy",
)
# None takes as long; a benchmark that hangs must not hold up the others.
TIME_LIMIT = 300


def main() -> int:
    options = _options()
    reports: list[dict[str, Any]] = []
    broken = []
    for name in options.names or NAMES:
        if (report := _run(name, options)) is None:
            broken.append(name)
        else:
            reports.append(report)
    if options.json:
        print(json.dumps(reports, indent=1))
    else:
        show_targets((report["name"], target) for report in reports for target in report["targets"])
    if broken:
        progress(f"not measured: {', '.join(broken)}")
    missed = any(not target["reached"] for report in reports for target in report["targets"])
    return 1 if broken or (options.check and missed) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, []], help=f"some of {', '.join(NAMES)}")
    add_options(parser)
    return parser.parse_args()


def _run(name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """The report of one benchmark, None if it did not get to its end."""
    progress(f"== {name}")
    began = time.monotonic()
    arguments = [sys.executable, "-m", f"bench.{name.replace('-', '_')}", "--results", str(options.results)]
    try:
        # What it prints as JSON is in its file as well.
        subprocess.run(arguments, check=True, timeout=TIME_LIMIT, stdout=subprocess.DEVNULL if options.json else None)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        progress(str(error))
        return None
    progress(f"== {name} took {time.monotonic() - began:.0f} s")
    report: dict[str, Any] = json.loads((Path(options.results) / f"{name}.json").read_text(encoding="utf-8"))
    return report


if __name__ == "__main__":
    sys.exit(main())
