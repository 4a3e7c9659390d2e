"""The alert rules and the dashboard that are shipped."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from tests.export.moments import BUSY
from tests.servers import find_program

from poolkeeper.observe.prometheus import pool_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "poolkeeper.rules.yml"
RULE_TESTS = DEPLOY / "prometheus" / "poolkeeper.test.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "poolkeeper.json").read_text(encoding="utf-8"))

# What other exporters have: postgres_exporter, pgbouncer_exporter.
OTHERS = {
    "pg_settings_max_connections",
    "pg_settings_superuser_reserved_connections",
    "pg_settings_reserved_connections",
    "pgbouncer_pools_client_maxwait_seconds",
    "pgbouncer_pools_client_waiting_connections",
}
METRIC = re.compile(r"(?<![\w:])(?:db_client|poolkeeper|pg|pgbouncer)_\w+")
RATE_INTERVAL = "$__rate_interval"


def promtool(*arguments: str | Path) -> None:
    program = find_program("promtool", "prometheus")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def exported() -> tuple[set[str], set[str]]:
    """The names of samples and of labels that a pool can have."""
    registry = CollectorRegistry()
    pool_metrics(registry).add(lambda: BUSY)
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {sample.name for sample in samples}, {label for sample in samples for label in sample.labels}


def named_in(expression: str) -> set[str]:
    return set(METRIC.findall(expression))


def test_the_rules_are_valid() -> None:
    promtool("check", "rules", RULES.name)


@pytest.mark.slow
def test_each_alert_fires_on_its_case_and_not_on_a_healthy_service() -> None:
    promtool("test", "rules", RULE_TESTS.name)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    cases = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    expected = [
        sample["labels"] for case in cases for test in case["promql_expr_test"] for sample in test["exp_samples"]
    ]

    for alert in alerts():
        assert any(f'alertname="{alert["alert"]}"' in labels for labels in expected), alert["alert"]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert set(alert["annotations"]) == {"summary", "description", "action"}
    assert f"`{alert['alert']}`" in (DEPLOY / "README.md").read_text()


@pytest.mark.parametrize("expression", [rule["expr"] for rule in rules()] + expressions())
def test_only_metrics_and_labels_that_exist_are_asked_for(expression: str) -> None:
    names, labels = exported()
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    assert named_in(expression) <= names | labels | OTHERS
    assert set(re.findall(r"\b\w+:\w+:\w+\b", expression)) <= recorded


def test_the_dashboards_expressions_are_valid(tmp_path: Path) -> None:
    filled = [expression.replace(RATE_INTERVAL, "5m") for expression in expressions()]
    file = tmp_path / "panels.yml"
    records = [{"record": f"panel:{index}", "expr": expression} for index, expression in enumerate(filled)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    promtool("check", "rules", file)


def test_the_dashboard_shows_every_alerts_metrics() -> None:
    shown = set().union(*(named_in(expression) for expression in expressions()))
    asked = set().union(*(named_in(alert["expr"]) for alert in alerts())) & (exported()[0] | OTHERS)

    assert asked <= shown


def test_the_dashboard_asks_the_source_that_was_chosen() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}

    assert variables["datasource"]["type"] == "datasource"
    assert all(each["datasource"] == source for name, each in variables.items() if name != "datasource")
    for panel in panels():
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [source] * (
            1 + len(panel["targets"])
        )
    used = set(re.findall(r"\$(\w+)", " ".join(expressions()))) - {"__rate_interval"}
    assert used == variables.keys() - {"datasource"}


def test_the_dashboards_panels_have_room() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert max(column for column, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
