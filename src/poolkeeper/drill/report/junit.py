"""The result of a drill as JUnit XML, which CI systems show."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from poolkeeper.drill.play import Played
from poolkeeper.drill.report.document import OURS, Report, chief_of, is_extra


def junit(report: Report) -> str:
    """A test case per scenario and judged stack; the others are there as skipped, with what they showed."""
    cases = [(run, _is_judged(report, run)) for run in report.played]
    failures = sum(judged and not run.verdict.good for run, judged in cases)
    skipped = sum(not judged for _, judged in cases) + len(report.left_out)
    counts = {
        "tests": str(len(cases) + len(report.left_out)),
        "failures": str(failures),
        "skipped": str(skipped),
        "errors": "0",
    }
    about = {"name": "poolkeeper drill", "timestamp": report.date, "time": f"{report.seconds:.1f}"}
    suite = Element("testsuite", about | counts)
    for run, judged in cases:
        case = SubElement(suite, "testcase", classname=run.scenario.name, name=run.stack.name)
        if not judged:
            SubElement(case, "skipped", message=f"for comparison: {chief_of(run)}")
        elif not run.verdict.good:
            SubElement(case, "failure", message=run.verdict.reason).text = run.scenario.question
    for name, why in report.left_out.items():
        SubElement(SubElement(suite, "testcase", classname=name, name="left out"), "skipped", message=why)
    suites = Element("testsuites")
    suites.append(suite)
    indent(suites)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{tostring(suites, encoding='unicode')}\n"


def _is_judged(report: Report, run: Played) -> bool:
    if is_extra(run):
        return False
    return run.stack.name == OURS or all(stack.name != OURS for stack in report.stacks)
