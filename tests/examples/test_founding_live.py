"""The founding article's pair live: MobileNetV2's 2 MB through a real broker, swapped in while it runs."""

from pathlib import Path

import pytest
import yaml

from iot_stream.service.broker import Broker
from tests.service.running import fleet, opened, service
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]

EXAMPLE = Path(__file__).parents[2] / "examples" / "founding_article" / "config.yml"
NAME = "article"
BOOTSTRAP = {"machines": [1000, 1150], "bursts": 33}
CHANGES = {
    "train": {"steps": 30, "batch": 32, "tune_steps": 0},
    "distill": {"first_steps": 5, "steps": 2, "batch": 16},
    "sample": {"recent": 100, "reservoir": 50},
    "triggers": {"every": "5 s", "at_least": 40},
    "gate": {"n_min": 10, "share": 0.5, "delta": 1, "recall_drop": 1},
    "recordings": {"bootstrap": {"teacher": BOOTSTRAP, "student": BOOTSTRAP}},
}


def test_two_megabytes_reach_every_device(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    store_url = f"sqlite:{tmp_path / 'store'}"
    service_of_ours = {"broker": broker.url, "store": store_url, "prefix": prefix}
    path.write_text(yaml.safe_dump({"base": str(EXAMPLE), "pipelines": {NAME: CHANGES}} | service_of_ours))
    with opened(path) as (_, store):
        registry = store.registry
        with service(path, tmp_path / "service.log") as serving:
            wait_until(lambda: registry.release(NAME, "all", "stable") is not None, "a first version", 120)
            with fleet(path, tmp_path, "--devices", "12", "--seconds", "60", "--linger", "90"):
                wait_until(lambda: len(_second_version(registry.events(NAME))) == 12, "a swap", 120)
            assert serving.poll() is None
        newest = registry.versions(NAME)[-1]
        assert len(registry.artifact(newest.weights)) > 2_000_000
        assert not [event for event in registry.events(NAME) if event[2] in ("rejected", "rolled_back")]


def _second_version(events: list[tuple]) -> set[str]:
    """Devices that have taken a version which a round made."""
    return {device for _, device, event, version, _, _ in events if event == "applied" and version >= 2}
