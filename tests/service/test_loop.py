"""The whole loop, as processes over a real broker: readings up, rounds, signed students down."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from iot_stream.evaluate import live
from iot_stream.service import broker as brokers
from simulator.ledger import Ledger
from tests.postgres import Server
from tests.service.running import NAME, fleet, opened, service, write_config
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where store and keys are."""
    if request.param == "sqlite":
        yield {}
    else:
        server: Server = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield {"store": url, "keys": str(tmp_path / "keys")}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        pytest.param("mosquitto", "sqlite", marks=pytest.mark.long),  # as `make demo` runs it
        ("embedded", "sqlite"),
        pytest.param("mosquitto", "postgresql", marks=pytest.mark.long),
    ],
    indirect=["settings"],
)
def test_the_whole_loop(kind: brokers.Kind, settings: dict[str, str], tmp_path: Path, prefix: str) -> None:
    if kind == "mosquitto" and brokers.find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: apt install mosquitto")
    scenario = tmp_path / "scenario.yml"
    scenario.write_text("world: features\nschedule:\n  - {at: 6 s, regime: heavy}\n")
    with brokers.start(tmp_path / "broker", kind=kind) as broker:
        triggers = {"every": "2 s", "longest": "4 s", "drift": "adwin", "at_least": 20}
        path = write_config(tmp_path, broker.url, prefix, triggers=triggers)
        written = yaml.safe_load(path.read_text()) | settings
        path.write_text(yaml.safe_dump(written, sort_keys=False))
        with opened(path) as (config, store), service(path, tmp_path / "service.log") as serving:
            wait_until(
                lambda: store.registry.release(NAME, "all", "stable") is not None, "a first version", 90
            )
            stream = ("--devices", "8", "--seconds", "24", "--linger", "90")
            with fleet(path, tmp_path, "--scenario", str(scenario), *stream) as running:
                written_down = tmp_path / "ledger.json"
                wait_until(
                    lambda: written_down.exists() or running.poll() is not None, "the stream's end", 90
                )
                assert running.poll() is None, (tmp_path / "simulator.log").read_text()
                ledger = Ledger.read(written_down)
                published = sum(block.n for block in ledger.blocks)
                wait_until(
                    lambda: sum(store.journal.readings(NAME).values()) >= published, "all readings stored"
                )
                # The last rounds may end after the stream; devices that stay get what they release.
                wait_until(
                    lambda: (
                        set(live.running(store.registry.events(NAME)).values())
                        == {store.registry.versions(NAME)[-1].version}
                    ),
                    "all devices on the last version",
                    60,
                )
            assert serving.poll() is None
            result = live.read(store, NAME, config.pipelines[NAME], ledger, broker.name)
    summary = live.summary(result)
    assert summary["devices"] == 8
    assert summary["readings_published"] > 400
    assert summary["readings_lost"] == summary["unacknowledged_messages"] == 0
    assert summary["windows_duplicated"] == summary["readings_missed_in_swaps"] == 0
    assert summary["windows"] > 150
    assert summary["released"] >= 1
    assert summary["swaps"] >= 8
    assert len(summary["versions_running"]) == 8
    assert summary["recovery_s"] > 0
    assert None not in summary["accuracy_stream"].values()
    # The stream may end while a round is under way.
    assert {r.outcome for r in result.rounds if r.ended} <= {"released", "rejected", "held"}
