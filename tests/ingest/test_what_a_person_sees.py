"""For each way in which input goes wrong: what a person sees names the place and the remedy."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from iot_stream.cli import COMMANDS, main
from iot_stream.clock import SECOND, iso, wall
from iot_stream.config import Broker as BrokerSettings
from iot_stream.config import load
from iot_stream.errors import BrokerError, ConfigError
from iot_stream.formats.telemetry import encode
from iot_stream.hygiene import MAX_PAYLOAD
from iot_stream.ingest.cutter import Cutter
from iot_stream.ingest.intake import Intake
from iot_stream.mqtt import Connection
from iot_stream.service.broker import Broker, find_mosquitto
from iot_stream.store import Store
from tests.ingest.test_collector import collecting
from tests.streams import START
from tests.waiting import wait_until

CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  office:
    window: {{length: 1, lateness: 0 s}}
    task: {{classify: [empty, occupied]}}
    hygiene: {{error_values: [999]}}
    sources:
      - {{channels: {{co2: co2}}}}
      - {{topic: "{prefix}-room/{{device}}", format: json, time: $.at, channels: {{co2: $.co2}}}}
      - topic: {prefix}-plant
        format: json
        device: $.id
        time: $.at
        channels: {{co2: $.co2}}
      - topic: "{prefix}-numbered/{{device}}"
        format: json
        time: $.at
        boot: $.boot
        seq: $.n
        channels: {{co2: $.co2}}
"""
NOW = START // SECOND


class Site:
    """A collector's parts at work in this process, and the commands by which a person looks at it."""

    def __init__(self, folder: Path, url: str = "mqtt://localhost", prefix: str = "t") -> None:
        self.path, self.prefix = folder / "config.yml", prefix
        self.path.write_text(CONFIG.format(url=url, folder=folder / "store", prefix=prefix))
        self.config = load(self.path)
        self.store = Store(self.config.store_folder)
        self._intake = Intake(self.config, self.store)

    def hears(self, topic: str, payload: bytes | dict[str, object]) -> None:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        with self.store.write() as tx:
            self._intake.take(tx, f"{self.prefix}{topic}", content)
            self._intake.conclude(tx)

    def hears_telemetry(self, *values: float, boot: str = "boot", seq: int = 0, at: int = START) -> None:
        times = at + np.arange(len(values)) * SECOND
        content = encode(("co2",), times, np.array(values, np.float32)[:, None], boot, seq)
        self.hears("/office/device/d/telemetry", content)

    def cuts(self) -> None:
        pipeline = self.config.pipelines["office"]
        for cut, wait in pipeline.cuts.items():
            cutter = Cutter(self.store, "office", pipeline, cut, wait)
            with self.store.write() as tx:
                while cutter.advance(tx):
                    pass
                cutter.idle(tx, wall())
                cutter.save(tx)

    def shows(self, *command: str) -> str:
        ran = CliRunner().invoke(main, [*command, "--config", str(self.path)])
        assert ran.exit_code == 0, ran.output
        return ran.output

    @property
    def quarantine(self) -> str:
        """The one line that `quarantine list` shows, after its number and time."""
        line, hint = self.shows("quarantine", "list").splitlines()
        assert "`quarantine show NUMBER`" in hint
        return " ".join(line.split()[2:])

    def stats(self, device: str, what: str) -> str:
        """The line of `windows stats` on that device and count, blanks made one."""
        lines = [" ".join(line.split()) for line in self.shows("windows", "stats").splitlines()]
        (found,) = [line for line in lines if line.startswith(f"{device} {what} ")]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    assert "quarantine" in COMMANDS
    made = Site(tmp_path)
    yield made
    made.store.close()


# --- what is malformed, too large, or says no number


def test_malformed(site: Site) -> None:
    site.hears("-room/kitchen", b'{"co2": 400')
    assert site.quarantine == "malformed t-room/kitchen: message of kitchen: Input data was truncated"
    assert site.stats("kitchen", "malformed").startswith(
        "kitchen malformed 1 refused: `iot-stream quarantine list`"
    )
    assert '{"co2": 400' in site.shows("quarantine", "show", "1")


@pytest.mark.skipif(find_mosquitto() is None, reason="an embedded broker says no limit")
def test_oversized(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """64 MB do not leave the device, which is told why; what the broker takes and we do not is refused."""
    site = Site(tmp_path, broker.url, prefix)
    with collecting(site.path) as (config, store):
        device = Connection(config.address, f"{prefix}-d", lambda _: None)
        device.start()
        with pytest.raises(
            BrokerError, match=r"64000000 bytes, the broker at .* takes at most 16777216; send less"
        ):
            device.publish(f"{prefix}-room/kitchen", bytes(64_000_000))
        device.publish_and_wait(f"{prefix}-room/kitchen", bytes(MAX_PAYLOAD + 1))
        device.publish_and_wait(f"{prefix}-room/kitchen", b'{"co2": 400, "at": %d}' % NOW)
        wait_until(lambda: bool(store.journal.readings("office")), "the reading after it")
        device.stop()
    told = (
        f"{prefix}-room/kitchen: 4194305 bytes in one message, at most 4194304; send fewer readings at once"
    )
    assert site.quarantine == f"too_large {told}"
    site.store.close()


def test_64_mb_in_the_collector(site: Site) -> None:
    site.hears("-room/kitchen", bytes(64_000_000))
    assert site.quarantine.endswith(
        "64000000 bytes in one message, at most 4194304; send fewer readings at once"
    )
    assert "64000000 bytes" in site.shows("quarantine", "show", "1")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity(site: Site, word: str) -> None:
    site.hears("-room/kitchen", b'{"at": 1, "co2": %s}' % word.encode())
    assert site.quarantine.startswith("malformed t-room/kitchen: message of kitchen: ")
    assert site.quarantine.endswith("JSON has neither NaN nor Infinity: write null")


def test_nan_in_our_own_telemetry(site: Site) -> None:
    site.hears("/office/device/d/telemetry", b'{"channels": {"co2": [1, NaN]}}')
    assert site.quarantine.startswith("malformed t/office/device/d/telemetry: telemetry of d: ")
    assert site.quarantine.endswith("JSON has neither NaN nor Infinity: write null")


def test_a_message_without_a_value(site: Site) -> None:
    site.hears("-room/kitchen", {"at": NOW, "CO2": 400})
    said = "unknown_channel t-room/kitchen: kitchen: no value at $.co2; is the path right?"
    assert site.quarantine == said


def test_999_error_codes(site: Site) -> None:
    site.hears_telemetry(400, 999, 999)
    site.cuts()
    told = "values that `hygiene.error_values` names, taken as missing"
    assert site.stats("d", "error_value") == f"d error_value 2 {told}"


# --- when


@pytest.mark.parametrize(
    ("at", "shown"),
    [(17, "1970-01-01T00:00:17"), (2**32 - 1, "2106-02-07T06:28:15")],  # an unset clock; all bits set
)
def test_1970_and_2106(site: Site, at: int, shown: str) -> None:
    site.hears("-room/kitchen", {"at": iso(at * SECOND), "co2": 400})
    assert site.quarantine.startswith(f"absurd_time t-room/kitchen: kitchen: {shown}")
    assert site.quarantine.endswith("; is its clock set?")
    assert site.stats("kitchen", "absurd_time").startswith("kitchen absurd_time 1 refused")


def test_naive_local_time(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Two hours east of the zone in which it is read: from the future, which is said once."""
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            local = iso(wall() + 7200 * SECOND).removesuffix("Z")[:19]
            site.hears("-room/kitchen", {"at": local, "co2": 400})
            site.hears("-room/hall", {"at": wall() / SECOND, "co2": 400})
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("office: readings of kitchen are 120 min in the future: is its clock right, ")
    assert "`zone`" in said


def test_duplicates(site: Site) -> None:
    for _ in range(3):
        site.hears_telemetry(400, 401)
    assert site.stats("d", "duplicate").startswith(
        "d duplicate 4 readings that came again under the same number"
    )
    assert site.stats("d", "readings") == "d readings 2"


# --- who


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("a/b", "a%2Fb"),
        ("a+b", "a%2Bb"),
        ("a#", "a%23"),
        ("küche 🌡️", "küche 🌡️"),
        ("é" * 64, "é" * 64),
    ],
)
def test_names_that_fit_or_are_mapped(site: Site, name: str, mapped: str) -> None:
    site.hears("-plant", {"id": name, "at": NOW, "co2": 400})
    site.cuts()
    assert f"{mapped} " in site.shows("windows", "stats")
    assert site.shows("quarantine", "list") == ""
    assert {device for _, device, *_ in site.store.journal.window_stats("office")} == {mapped}


def test_a_name_of_300_bytes(site: Site) -> None:
    site.hears("-plant", {"id": "🌡" * 75, "at": NOW, "co2": 400})
    assert site.quarantine.startswith("device_name t-plant: '🌡🌡")
    assert site.quarantine.endswith("': 300 bytes, at most 128; give it a shorter name")


def test_a_name_of_nothing(site: Site) -> None:
    site.hears("-plant", {"id": "", "at": NOW, "co2": 400})
    assert site.quarantine == "device_name t-plant: '' at $.id names no device"


@pytest.mark.slow
def test_two_devices_with_one_client_id(
    broker: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = BrokerSettings(url=broker.url).address()
    one, two = (Connection(address, f"{prefix}-pump", lambda _: None) for _ in range(2))
    with caplog.at_level(logging.WARNING):
        one.start()
        two.start()
        wait_until(lambda: "another one" in caplog.text, "they are told")
    two.stop()
    one.stop()
    said = next(record.getMessage() for record in caplog.records if "another one" in record.getMessage())
    assert said.startswith(f"connection of {prefix}-pump to {address} lost: ")
    assert said.endswith(
        "; does another one run under the same name? Stop one, or give it a login of its own"
    )


# --- labels


def test_labels_that_meet_no_window(site: Site) -> None:
    """Of a device that is called otherwise, of another time; and some that do."""
    site.hears_telemetry(400, 401, 402)
    site.cuts()
    hour = 3600 * SECOND
    for device, begin in (("d", START), ("D", START), ("d", START + hour)):
        until = begin + 10 * SECOND
        site.hears(f"/office/device/{device}/label", {"time": begin, "until": until, "value": "empty"})
    assert "D labels 1" in site.stats("D", "labels")
    assert "none joined a window: there is no window of this device" in site.stats("D", "labels")
    assert site.stats("d", "labels").startswith("d labels 2 ")
    assert site.stats("d", "labels").endswith(" 1 joined a window")


def test_labels_of_another_time(site: Site) -> None:
    site.hears_telemetry(400, 401, 402)
    site.cuts()
    site.hears("/office/device/d/label", {"time": START + SECOND // 2, "value": "empty"})
    told = site.stats("d", "labels")
    assert "none joined a window: none ends while they hold; compare the times" in told
    assert "`until` says it, or `hold: 30 s` under `labels`" in told


# --- a device that reboots, and counts from zero


def test_a_reboot_with_a_new_boot_id(site: Site) -> None:
    site.hears_telemetry(1, 2, 3, boot="one")
    site.hears_telemetry(4, 5, boot="two", at=START + 10 * SECOND)
    site.cuts()
    assert site.stats("d", "readings") == "d readings 5"
    assert site.store.faults.counters("office") == []
    assert {count for _, _, count, *_ in site.store.journal.window_stats("office")} == {5}


def test_a_reboot_of_what_has_no_numbers(site: Site) -> None:
    """Readings are told apart by their times; a count that the configuration does not name says nothing."""
    for i, n in enumerate((0, 1, 2, 0, 1)):
        site.hears("-room/kitchen", {"at": NOW + i, "n": n, "co2": 400 + i})
    site.cuts()
    assert site.stats("kitchen", "readings") == "kitchen readings 5"
    assert site.store.faults.counters("office") == []


def test_a_reboot_under_the_old_boot_id(site: Site) -> None:
    for i, n in enumerate((0, 1, 2, 0, 1)):
        site.hears("-numbered/pump", {"at": NOW + i, "boot": "always", "n": n, "co2": 400})
    assert site.stats("pump", "readings") == "pump readings 3"
    said = site.stats("pump", "duplicate")
    assert said.startswith("pump duplicate 2 readings that came again")
    assert said.endswith("if nearly all do, the device counts anew without a new boot id")


def test_numbers_without_a_boot_id_are_found_before_any_message(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    text = CONFIG.format(url="mqtt://localhost", folder=tmp_path / "store", prefix="t")
    path.write_text(text.replace("        boot: $.boot\n", ""))
    with pytest.raises(ConfigError, match=r"sources\.3\.seq: numbers need a boot id too: they start anew"):
        load(path)
