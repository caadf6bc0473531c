"""A topic teaches: climate sensors without a single label, a person detector, a student that adapts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from iot_stream.config import load
from iot_stream.cut import Cut
from iot_stream.distill.student import Packed
from iot_stream.formats.zigbee2mqtt import encode
from iot_stream.mqtt import Connection
from iot_stream.service import versions
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet
from tests.service.running import opened, service
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

MINUTE, DAY = 60 * 10**9, 1440
BEGIN = 1_767_225_600_000_000_000
SENSORS = ("climate_desk", "climate_door")


def write_config(folder: Path, broker: str, prefix: str) -> Path:
    pipeline = {
        "clock": "stream",
        "sources": [
            {
                "topic": f"{prefix}/zigbee2mqtt/{{device}}",
                "format": "zigbee2mqtt",
                "channels": {"temperature": "temperature", "humidity": "humidity"},
            }
        ],
        "window": {"length": 1},
        "task": {"classify": ["empty", "present"]},
        "teacher": {
            "topic": f"{prefix}/camera/{{device}}",
            "value": "$.person",
            "time": "$.at",
            "devices": {"hall": list(SENSORS)},
        },
        "student": {"arch": "mlp", "channels": ["temperature", "humidity"]},
        "distill": {"first_steps": 300, "steps": 200},
        "sample": {"recent": 1500, "reservoir": 300},
        "triggers": {"every": "12 h"},
    }
    path = folder / "config.yml"
    config = {"broker": broker, "store": f"sqlite:{folder / 'store'}", "prefix": prefix}
    path.write_text(yaml.safe_dump(config | {"pipelines": {"office": pipeline}}, sort_keys=False))
    return path


@contextmanager
def speaking(path: Path, prefix: str) -> Iterator[Connection]:
    connection = Connection(load(path).address, f"{prefix}-sensors", lambda _: None)
    connection.start()
    try:
        yield connection
    finally:
        connection.stop()


def present(minute: int) -> bool:
    """Somebody is there every other three hours."""
    return minute // 180 % 2 == 1


def say(connection: Connection, prefix: str, first: int, last: int, warmer: float) -> int:
    """Minutes of all sensors; the camera speaks when somebody comes or goes, and then only. How many
    readings there were."""
    rng = np.random.default_rng(first)
    for minute in range(first, last):
        at = BEGIN + minute * MINUTE
        if minute == 0 or present(minute) != present(minute - 1):
            word = {"person": present(minute), "at": at / 1e9}
            connection.publish(f"{prefix}/camera/hall", msgspec.json.encode(word))
        for sensor in SENSORS:
            values = np.array([20 + warmer, 40]) + present(minute) * np.array([2, 5]) + rng.normal(0, 0.5, 2)
            reading = encode({"temperature": values[0], "humidity": values[1]}, at)
            connection.publish(f"{prefix}/zigbee2mqtt/{sensor}", reading)
    return (last - first) * len(SENSORS)


def accuracy(store: Store, version: int, first: int) -> float:
    """Of a version as devices run it, on the windows from a minute on."""
    model = packed(store, version).model()
    windows = windows_of(store, model.spec.cut)
    late = windows.ends >= BEGIN + first * MINUTE
    truth = [present(int((end - BEGIN) // MINUTE)) for end in windows.ends[late].tolist()]
    said = model.logits(windows.x[late]).argmax(axis=1)
    return float((said == truth).mean())


def windows_of(store: Store, cut: Cut) -> WindowSet:
    return store.journal.windows("office", cut.id, (cut.length, len(cut.inputs)))


def packed(store: Store, version: int) -> Packed:
    (found,) = [v for v in store.registry.versions("office") if v.version == version]
    return versions.packed_version(store, found)


def test_a_person_detector_teaches_climate_sensors(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, broker.url, prefix)
    with opened(path) as (_, store), service(path, tmp_path / "service.log"):
        log = tmp_path / "service.log"
        with speaking(path, prefix) as connection:
            wait_until(lambda: "waiting for the teacher" in log.read_text(), "says so", 90)
            assert store.registry.newest("office", "all") is None
            sent = say(connection, prefix, 0, DAY, 0.0)
            wait_until(lambda: store.registry.newest("office", "all") is not None, "a first student", 90)
            sent += say(connection, prefix, DAY, 3 * DAY, 3.0)  # somebody turned the heating up
            wait_until(lambda: sum(store.journal.readings("office").values()) >= sent, "all readings", 60)
            cut = packed(store, 1).model().spec.cut
            late = BEGIN + 5 * DAY // 2 * MINUTE
            wait_until(lambda: windows_of(store, cut).ends.max() > late, "windows of the warmer room", 60)
            learnt = Learnt(store)
            wait_until(learnt, "a student that knows the warmer room", 180)
        assert accuracy(store, 1, 2 * DAY) < 0.8


class Learnt:
    """Whether a version knows the warmer room. Each is asked once, for the service wants the processor."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.accuracies = {1: 0.0}

    def __call__(self) -> bool:
        newest = self._store.registry.newest("office", "all")
        if newest is not None and newest.version not in self.accuracies:
            self.accuracies[newest.version] = accuracy(self._store, newest.version, 2 * DAY)
        return max(self.accuracies.values()) > 0.95
