"""What stands beside the service: Prometheus's settings, alerts, Grafana's dashboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from iot_stream.watch.metrics import PREFIX, TABLE
from tests.watch.programs import ROOT, promtool

ALERTS = ROOT / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "grafana" / "iot-stream.json").read_text())
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
KNOWN = {metric.full_name: set(metric.labels) for metric in TABLE.values()}


def queries(node: Any) -> Iterator[str]:
    """Every expression of a dashboard, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for each in node:
            yield from queries(each)


QUERIES = {"dashboard": list(queries(DASHBOARD)), "alerts": [rule["expr"] for rule in RULES]}


@pytest.mark.parametrize("where", QUERIES)
def test_queries_name_metrics_and_labels_that_exist(where: str) -> None:
    named = 0
    for query in QUERIES[where]:
        for name, _, selected in re.findall(rf"\b({PREFIX}\w+)(\{{([^}}]*)\}})?", query):
            named += 1
            assert name in KNOWN, query
            assert set(re.findall(r"(\w+)\s*[!=]~?", selected)) <= KNOWN[name], query
        for name in re.findall(r"[a-z_]\w*(?=\{)", query):
            assert name in KNOWN or name in ("up",), query
    assert named >= len(QUERIES[where]) - 2  # `up`, and the list of alerts, are Prometheus's own


def test_the_dashboard_shows_the_promise_of_all_three() -> None:
    shown = " ".join(QUERIES["dashboard"])
    for model in ("student", "static", "teacher"):
        assert f'accuracy_ratio{{pipeline=~"$pipeline",model="{model}"}}' in shown
    for name in ("balanced_accuracy_ratio", "recovery_seconds", "bundle_bytes", "received_bytes_total"):
        assert f"{PREFIX}{name}" in shown


def test_panels_of_the_dashboard_are_apart_and_ask_the_chosen_source() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 25
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len(RULES) > 10
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]


def test_commands_that_alerts_name_exist() -> None:
    from iot_stream.cli import COMMANDS

    told = re.findall(r"`iot-stream (\w+)", ALERTS.read_text())
    assert told
    assert set(told) <= COMMANDS.keys()


def test_promtool_finds_settings_and_rules_sound() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus/prometheus.yml")
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(ALERTS))


def test_alerts_sound_when_they_should_and_only_then() -> None:
    path = Path(__file__).with_name("alerts.yml")
    told = set(re.findall(r'alertname="(\w+)"', path.read_text()))
    assert told == {rule["alert"] for rule in RULES}
    promtool("test", "rules", str(path))
