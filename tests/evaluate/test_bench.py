"""Benchmarks run as they are; how fast they find us is not for a test."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from iot_stream.cli.bench import bench
from iot_stream.clock import SECOND
from iot_stream.config import load
from iot_stream.evaluate.bench import dashboard, device, fleet, ingest, release, weights
from iot_stream.evaluate.bench.ingest import COLUMNS, latencies
from iot_stream.service.broker import find_mosquitto
from iot_stream.store import Store
from iot_stream.watch.dashboard.views.curves import MODELS
from iot_stream.watch.dashboard.views.promise import Promises
from tests.service.running import write_config
from tests.streams import START


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["mosquitto", pytest.param("direct", marks=pytest.mark.long)])
def test_bench_ingest_counts_all_and_says_what_it_found(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "PASSES", 1)
    monkeypatch.setattr(ingest, "READINGS", (10,))
    monkeypatch.setattr(ingest, "DEVICES", (100,))
    monkeypatch.setattr(ingest, "PACED", {"messages": 200, "rate": 1000, "chunk": 1})
    if transport == "mosquitto" and find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: apt install mosquitto")
    target = tmp_path / "figures.json"
    command = ["ingest", "--messages", "1000", "--transport", transport, "--json", str(target)]
    done = CliRunner().invoke(bench, [*command, "--folder", str(tmp_path / "bench")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures = json.loads(target.read_text())
    assert [(row["qos"], row["readings_per_message"], row["devices"]) for row in figures["rows"]] == [
        (0, 10, 100),
        (1, 10, 100),
    ]
    for row in figures["rows"]:
        assert row.keys() >= set(COLUMNS)
        assert row["transport"] == transport
        assert (row["lost"], row["doubled"]) == (0, 0)
        assert row["readings_per_s"] == pytest.approx(
            row["ours_per_s"] * row["readings_per_message"], abs=row["readings_per_message"]
        )
        assert row["ratio"] == pytest.approx(row["ours_per_s"] / row["bare_per_s"], abs=0.001)
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert ("broker_per_s" in figures) == (transport == "mosquitto")
    assert list((tmp_path / "bench").iterdir()) == []


@pytest.mark.slow
def test_bench_distill_runs_its_reference_and_says_what_it_found(tmp_path: Path) -> None:
    """On the small pipeline of the replay's tests, whose teacher is one network."""
    parts = {"regimes": ["commissioned", "heavy"], "machines": [100, 110], "bursts": 128}
    recordings = {"world": "features", "bootstrap": {"teacher": parts, "student": parts}, "stream": parts}
    distill = {"first_steps": 200, "steps": 10}
    path = write_config(tmp_path, "mqtt://localhost", "p", distill=distill, recordings=recordings)
    target = tmp_path / "figures.json"
    command = ["distill", "--config", str(path), "--cohorts", "3", "--json", str(target)]
    done = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures = json.loads(target.read_text())
    assert figures["speedup"] == pytest.approx(figures["plain_s"] / figures["ours_s"])
    assert min(figures["accuracy_plain"], figures["accuracy_ours"]) > 0.8
    assert 0 < figures["steps_ours"] <= figures["steps_plain"] == 200
    assert figures["teacher_passes_saved"] == 200 * 64 - figures["windows"]
    many = figures["cohorts"]
    assert many["n"] == 3
    assert many["speedup"] == pytest.approx(many["one_by_one_s"] / many["batched_s"])
    assert many["accuracy_batched"] == pytest.approx(many["accuracy_one_by_one"], abs=0.02)


def test_latency_is_from_each_messages_publish_to_its_commit() -> None:
    sent_at = [0, 1_000_000, 2_000_000, 3_000_000]
    assert latencies(sent_at, [(5_000_000, 3), (6_000_000, 4)]) == [5.0, 4.0, 3.0, 3.0]


@pytest.mark.slow
def test_bench_release_reaches_everyone_and_says_what_it_found(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: apt install mosquitto")
    target = tmp_path / "figures.json"
    command = ["release", "--subscribers", "30", "--passes", "1", "--no-encodings", "--json", str(target)]
    done = CliRunner().invoke(bench, [*command, "--folder", str(tmp_path / "bench")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads(target.read_text())["rows"]
    assert [(row["parameters"], row["kind"]) for row in rows] == [
        (281, "live"), (281, "late"), (24_000, "live"), (24_000, "late"),
    ]  # fmt: skip
    for row in rows:
        assert row.keys() >= set(release.COLUMNS)
        assert row["ratio"] == pytest.approx(row["ours_ms"] / row["bare_ms"], rel=0.02)
        assert row["publisher_messages"] == (1 if row["kind"] == "live" else 0)
    assert rows[0]["bytes"] < 2500
    assert list((tmp_path / "bench").iterdir()) == []


@pytest.mark.slow
def test_encodings_are_told_in_bytes_and_accuracy(tmp_path: Path) -> None:
    """On a student that is trained in seconds."""
    parts = {"regimes": ["commissioned", "heavy"], "machines": [100, 110], "bursts": 64}
    recordings = {"world": "features", "bootstrap": {"teacher": parts, "student": parts}, "stream": parts}
    (tmp_path / "small").mkdir()
    write_config(tmp_path / "small", "mqtt://localhost", "p", recordings=recordings).rename(
        tmp_path / "small/config.yml"
    )
    case = weights.Case("small", "mlp", {"hidden": [64]}, 100, 20, 0.01)
    rows = {row["name"]: row for row in weights.rows(tmp_path, (case,))}
    assert list(rows) == ["fp16", "int8", "int4 delta", "masked 5%", "masked 10%", "masked 20%"]
    assert rows["fp16"]["bytes"] > rows["int8"]["bytes"] > rows["int4 delta"]["bytes"]
    assert abs(rows["fp16"]["accuracy_change"]) < 0.02


@pytest.mark.slow
def test_bench_device_runs_what_is_installed(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    command = ["device", "--passes", "20", "--swaps", "20", "--json", str(target)]
    done = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads(target.read_text())["rows"]
    assert {row["runtime"] for row in rows} >= {"onnxruntime", "numpy"}
    for row in rows:
        assert row.keys() >= set(device.COLUMNS)
        assert row["missed"] == 0
        assert 20 < row["rss_mb"] < 200
        assert row["install_mb"] > 50


def test_the_fleet_that_a_dashboard_looks_at_is_judged(tmp_path: Path) -> None:
    config = load(fleet.configuration(tmp_path, "mqtt://localhost"))
    with closing(Store(config.store_place)) as store:
        writer = fleet.Writer(config, store, 20)
        writer.begin()
        for second in range(30):
            writer.second(START + second * SECOND)
        found = Promises(store, fleet.PIPELINE, config.pipelines[fleet.PIPELINE]).view({})
    assert (found.devices, found.by) == (20, "labels")
    assert all(found.newest[model].windows > 0 for model in MODELS)


@pytest.mark.slow
@pytest.mark.long
def test_bench_dashboard_says_what_looking_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "PAST_S", 20)
    monkeypatch.setattr(dashboard, "SETTLE_S", 12.0)  # the longest pause between looks, and more
    target = tmp_path / "figures.json"
    command = ["dashboard", "--devices", "50", "--viewers", "5", "--seconds", "5", "--json", str(target)]
    done = CliRunner().invoke(bench, [*command, "--folder", str(tmp_path / "bench")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures = json.loads(target.read_text())
    nobody, some = figures["rows"]
    assert (nobody["devices"], nobody["viewers"], some["viewers"]) == (50, 0, 5)
    assert nobody["requests_per_s"] == 0
    assert some["requests_per_s"] > 0
    assert some["cpu_share"] > 0
    assert all(row.keys() >= set(dashboard.COLUMNS) for row in figures["rows"])
    assert 50_000 < figures["page_bytes"] <= 200_000
    assert list((tmp_path / "bench").iterdir()) == []
