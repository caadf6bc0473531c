"""`iot-stream doctor`: what is wrong with a deployment is found, and what is right is left in peace."""

import getpass
import json
import os
import shutil
import sqlite3
import subprocess
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from iot_stream import topics
from iot_stream.access import certificates
from iot_stream.artifact import trust
from iot_stream.cli import main
from iot_stream.clock import SECOND, iso, wall
from iot_stream.config import Config, load
from iot_stream.mqtt import Connection
from iot_stream.presence import Presence
from iot_stream.release.keys import Keys
from iot_stream.service import doctor
from iot_stream.service.broker import Broker, find_mosquitto, probe, start
from iot_stream.service.doctor import broker as of_broker
from iot_stream.service.doctor import disk, fleet, keys, pitfalls, store
from iot_stream.service.doctor.findings import Finding, failed
from iot_stream.store import Store
from iot_stream.store.migrations import STEPS
from tests.brokers import Caller, Guarded, ports
from tests.service.running import NAME
from tests.streams import START
from tests.waiting import wait_until
from tests.watch import stores
from tests.watch.dashboard.windows import cut

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="it looks at a mosquitto")
PIPELINE = {
    "sources": [{"channels": {"x": "x"}}],
    "window": {"length": 4},
    "task": {"classify": ["good", "worn"]},
    "teacher": {"topic": "camera/{device}", "value": "$.state"},
    "triggers": {"every": "1 h"},
}


def written(
    folder: Path, url: str = "mqtt://localhost:1", pipeline: object = PIPELINE, **more: object
) -> Path:
    path = folder / "iot-stream.yml"
    store = f"sqlite:{folder / 'store'}"
    path.write_text(yaml.safe_dump({"broker": url, "store": store, "pipelines": {"pumps": pipeline}} | more))
    path.chmod(0o600)
    return path


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def states(findings: Iterator[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def looked(check: object, path: Path) -> dict[str, Finding]:
    return by_name(check(load(path), path))  # type: ignore[operator]


def conf(folder: Path, text: str) -> Path:
    path = folder / "own.conf"
    path.write_text(text)
    return path


# --- the broker


@needs_mosquitto
def test_our_mosquitto_conf_is_found_right(broker: Broker, tmp_path: Path, prefix: str) -> None:
    found = looked(of_broker.check, written(tmp_path, broker.url, prefix=prefix))
    names = ("connection", "tls", "packets", "queue", "retained", "strangers")
    assert states(iter(found.values())) == {f"broker.{name}": "ok" for name in names}
    assert found["broker.connection"].found.endswith("answers, MQTT 5")
    assert found["broker.packets"].found == "at most 16777216 bytes a message"
    assert found["broker.strangers"].found == "anybody may say anything, but from this machine alone"


@needs_mosquitto
def test_looking_leaves_nothing_behind(tmp_path: Path, prefix: str) -> None:
    with start(tmp_path / "broker") as own:
        looked(of_broker.check, written(tmp_path, own.url, prefix=prefix))
        with Caller(load(tmp_path / "iot-stream.yml").address) as caller:
            caller.listens("#")
            caller.says("end")
            assert caller.until("end") == []  # nothing is retained


@needs_mosquitto
def test_a_short_queue_and_small_packets_are_found(tmp_path: Path, prefix: str) -> None:
    text = "max_queued_messages 100\nmax_packet_size 20000\n"
    with start(tmp_path / "broker", conf(tmp_path, text)) as own:
        found = looked(of_broker.check, written(tmp_path, own.url, prefix=prefix))
    queue, packets = found["broker.queue"], found["broker.packets"]
    assert queue.state == "fail"
    assert queue.found.startswith("100 of 1500 messages waited")
    assert "\nmax_queued_messages 0\n" in queue.remedy
    assert (packets.state, packets.found) == ("warn", "at most 20000 bytes a message: models go in pieces")
    assert packets.remedy.endswith(":\nmax_packet_size 16777216")


@contextmanager
def plain(port: int, text: str, folder: Path) -> Iterator[None]:
    """A mosquitto by these lines alone, as a system's package starts it."""
    program = find_mosquitto()
    assert program is not None
    own = conf(folder, f"{text}\nuser {getpass.getuser()}\n")
    with subprocess.Popen([program, "-c", str(own)], stderr=subprocess.DEVNULL) as running:
        try:
            wait_until(lambda: probe("127.0.0.1", port), "mosquitto answers")
            yield
        finally:
            running.terminate()


@needs_mosquitto
def test_what_it_says_to_write_mends_a_plain_mosquitto(tmp_path: Path, prefix: str) -> None:
    (port,) = ports(1)
    path = written(tmp_path, f"mqtt://localhost:{port}", prefix=prefix)
    debian = f"persistence true\npersistence_location {tmp_path}/\n"
    debian += f"listener {port} 127.0.0.1\nallow_anonymous true\n"
    with plain(port, debian, tmp_path):
        failing = [each for each in of_broker.check(load(path), path) if each.state == "fail"]
    assert [each.name for each in failing] == ["broker.queue"]
    lines = failing[0].remedy.splitlines()
    assert lines[0] == "have these lines in mosquitto.conf, and restart it:"
    assert {line.split()[0] for line in lines[1:]} == {
        "persistence",
        "max_queued_messages",
        "max_queued_bytes",
    }
    with plain(port, debian + "\n".join(lines[1:]), tmp_path):
        assert set(states(of_broker.check(load(path), path)).values()) == {"ok"}


@needs_mosquitto
def test_a_broker_that_retains_nothing_is_found(tmp_path: Path, prefix: str) -> None:
    with start(tmp_path / "broker", conf(tmp_path, "retain_available false\nmax_queued_messages 0\n")) as own:
        found = looked(of_broker.check, written(tmp_path, own.url, prefix=prefix))
    assert found["broker.retained"].state == "fail"
    assert found["broker.retained"].remedy.endswith(":\npersistence true\nretain_available true")
    assert found["broker.queue"].state == "ok"


def test_no_broker_is_one_finding(tmp_path: Path) -> None:
    found = looked(of_broker.check, written(tmp_path))
    assert states(iter(found.values())) == {"broker.connection": "fail"}
    assert "no connection to mqtt://localhost:1" in found["broker.connection"].found


@needs_mosquitto
def test_what_anybody_can_reach_from_outside_is_found(
    broker: Broker, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, broker.url, prefix=prefix)
    monkeypatch.setattr(of_broker, "_reached_at", lambda port: f"192.0.2.7:{port}")
    found = looked(of_broker.check, path)["broker.strangers"]
    assert found.state == "fail"
    assert f"also from outside, at 192.0.2.7:{broker.port}" in found.found
    assert found.remedy.endswith(f":\nlistener {broker.port} 127.0.0.1")
    monkeypatch.setattr(of_broker, "_is_loopback", lambda host: False)
    found_all = looked(of_broker.check, path)
    assert found_all["broker.strangers"].state == "fail"
    assert found_all["broker.tls"].state == "warn"
    assert "in the clear" in found_all["broker.tls"].found


def test_loopback_is_known() -> None:
    assert [of_broker._is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "a.localhost")] == [
        True
    ] * 4
    assert not any(
        of_broker._is_loopback(host) for host in ("broker", "10.0.0.1", "::2", "localhost.example")
    )


# --- a broker with logins


@pytest.fixture
def guarded(tmp_path: Path, prefix: str) -> Iterator[Guarded]:
    made = Guarded(tmp_path / "access", written(tmp_path, prefix=prefix))
    made.write("--device", "a")
    made.start()
    yield made
    made.stop()


@needs_mosquitto
def test_a_guarded_broker_is_found_right(guarded: Guarded) -> None:
    config = guarded.logged_in
    found = by_name(of_broker.check(config, guarded.config))
    assert {name: each.state for name, each in found.items() if each.state != "ok"} == {}
    assert found["broker.strangers"].found == "nobody gets in without a name and a password"
    assert found["broker.tls"].found.startswith("TLSv1.3, certificate until 20")
    logins = [name for name in found if name.startswith("broker.login.")]
    assert logins == ["broker.login.collector", "broker.login.distiller", "broker.login.publisher"]


@needs_mosquitto
def test_rules_that_are_not_in_force_are_found(guarded: Guarded) -> None:
    rules = guarded.folder / "broker" / "service.acl"
    rules.write_text(rules.read_text().replace("user distiller\n", "user distiller\ntopic readwrite #\n"))
    guarded.stop()
    guarded.start()
    found = by_name(of_broker.check(guarded.logged_in, guarded.config))
    assert found["broker.login.distiller"].state == "fail"
    assert found["broker.login.distiller"].found == "gets in, and may speak where it should not"
    assert found["broker.login.publisher"].state == "ok"


@needs_mosquitto
def test_a_login_that_is_refused_is_found(guarded: Guarded) -> None:
    config = guarded.logged_in
    file = guarded.logins / "publisher.json"
    login = json.loads(file.read_text())
    file.write_text(json.dumps(login | {"password": "x"}))
    (guarded.logins / "collector.json").unlink()
    found = by_name(of_broker.check(config, guarded.config))
    assert found["broker.login.publisher"].state == "fail"
    assert "broker-acl --revoke publisher" in found["broker.login.publisher"].remedy
    assert found["broker.login.publisher"].remedy.startswith("let the broker read its files again")
    assert "No such file" in found["broker.login.collector"].found


@needs_mosquitto
def test_a_certificate_near_its_end_is_found(
    tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "SERVER_LIFETIME", certificates.RENEW_BEFORE / 100)
    made = Guarded(tmp_path / "access", written(tmp_path, prefix=prefix))
    made.write()
    made.start()
    try:
        found = by_name(of_broker.check(made.logged_in, made.config))["broker.tls"]
    finally:
        made.stop()
    assert found.state == "warn"
    assert found.remedy.startswith("run `iot-stream broker-acl` again")


# --- keys


def test_keys_as_they_should_be_and_as_they_should_not(tmp_path: Path) -> None:
    path = written(tmp_path, keys=str(tmp_path / "keys"))
    assert looked(keys.check, path)["keys"].state == "fail"
    Keys.create(tmp_path / "keys", 3, 2)
    found = looked(keys.check, path)
    assert {name: each.state for name, each in found.items()} == {
        "keys.root": "ok",
        "keys.offline": "warn",
        "keys.files": "ok",
    }
    assert found["keys.root"].found.startswith("root 1, 2 of 3 keys, until 20")
    assert found["keys.offline"].found.startswith("3 root keys lie on this machine")
    shutil.rmtree(tmp_path / "keys" / "root")
    (tmp_path / "keys" / "online.pem").chmod(0o644)
    found = looked(keys.check, path)
    assert found["keys.offline"].state == "ok"
    assert found["keys.files"].state == "fail"
    assert found["keys.files"].remedy == f"chmod 600 {tmp_path / 'keys' / 'online.pem'}"


def test_a_root_near_its_end_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from iot_stream.release import keys as of_release

    monkeypatch.setattr(of_release, "ROOT_LIFETIME", of_release.ROOT_LIFETIME / 30)
    Keys.create(tmp_path / "keys", 1, 1)
    found = looked(keys.check, written(tmp_path, keys=str(tmp_path / "keys")))
    assert found["keys.root"].state == "warn"


# --- the store and the disk


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert looked(store.check, written(tmp_path))["store"].state == "warn"
    assert not (tmp_path / "store").exists()


def test_a_whole_store_is_found_right_and_a_full_one_full(tmp_path: Path) -> None:
    Store(tmp_path / "store").close()
    found = looked(store.check, written(tmp_path))
    assert {name: each.state for name, each in found.items()} == dict.fromkeys(
        ["store.schema", "store.whole", "store.size"], "ok"
    )
    assert looked(store.check, written(tmp_path, store_limit="100 kB"))["store.size"].state == "warn"


@pytest.mark.parametrize(("schema", "state"), [(len(STEPS) - 1, "warn"), (len(STEPS) + 1, "fail")])
def test_another_schema_is_found_and_left_as_it_is(tmp_path: Path, schema: int, state: str) -> None:
    Store(tmp_path / "store").close()
    with sqlite3.connect(tmp_path / "store" / "iot-stream.db") as connection:
        connection.execute(f"PRAGMA user_version = {schema}")
    connection.close()
    found = looked(store.check, written(tmp_path))
    assert [(name, each.state) for name, each in found.items()] == [("store.schema", state)]
    connection = sqlite3.connect(tmp_path / "store" / "iot-stream.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (schema,)
    connection.close()


def test_a_broken_store_is_found(tmp_path: Path) -> None:
    Store(tmp_path / "store").close()
    file = tmp_path / "store" / "iot-stream.db"
    content = bytearray(file.read_bytes())
    content[4096 : 3 * 4096] = os.urandom(2 * 4096)
    file.write_bytes(content)
    found = next(
        each for each in store.check(load(written(tmp_path)), tmp_path) if each.name == "store.whole"
    )
    assert found.state == "fail"
    assert "restore" in found.remedy


USAGE = namedtuple("USAGE", "total used free")


@pytest.mark.parametrize(("free", "state"), [(100e9, "ok"), (10e9, "warn"), (0.5e9, "fail")])
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: USAGE(1e12, 0, free))
    assert looked(disk.check, written(tmp_path))["disk.room"].state == state


def test_a_slow_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert " ms, at worst " in looked(disk.check, written(tmp_path))["disk.fsync"].found
    monkeypatch.setattr(disk, "SLOW_MS", 0.0)
    assert looked(disk.check, written(tmp_path))["disk.fsync"].state == "warn"


@pytest.mark.parametrize(
    ("said", "state", "found"),
    [("yes", "ok", "set by NTP"), ("no", "warn", "not set by NTP"), ("", "warn", "")],
)
def test_what_timedatectl_says_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, state: str, found: str
) -> None:
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(disk, "SYNCHRONISED", tmp_path / "none")
    clock = looked(disk.check, written(tmp_path))["clock.sync"]
    assert clock.state == state
    assert clock.found.startswith(found)


# --- what runs


def retain(config: Config, messages: dict[str, bytes]) -> None:
    connection = Connection(config.address, f"{config.prefix}-test", lambda _: None)
    connection.start()
    for topic, payload in messages.items():
        connection.publish_and_wait(topic, payload, retain=True)
    connection.stop()


def test_parts_that_run_and_parts_that_do_not(broker: Broker, tmp_path: Path, prefix: str) -> None:
    path = written(tmp_path, broker.url, prefix=prefix)
    config = load(path)

    def of(part: str, service: topics.Service) -> dict[str, bytes]:
        return {topics.SERVICE.of(prefix=prefix, part=part): topics.encode(service)}

    now = wall()
    retain(
        config,
        of("collector-a", topics.Service(True, "1", "here", now))
        | of("collector-b", topics.Service(True, "2", "there", now, "not acknowledging: disk full"))
        | of("distiller", topics.Service(False, "3", "here", now))
        | of("publisher", topics.Service(True, "4", "there", now + 3600 * SECOND))
        | {topics.SERVICE.of(prefix=prefix, part="odd"): b"{"},
    )
    found = looked(fleet.check, path)
    assert {name: each.state for name, each in found.items()} == {
        "parts": "warn",
        "parts.collector-a": "ok",
        "parts.collector-b": "fail",
        "parts.distiller": "fail",
        "parts.publisher": "warn",
    }
    assert found["parts.collector-b"].found == "not acknowledging: disk full"
    assert found["parts.distiller"].found == f"was there at {iso(now)}, and is not any more"
    retain(config, {topics.SERVICE.of(prefix=prefix, part=part): b"" for part in ("distiller", "odd")})
    assert looked(fleet.check, path)["parts.distiller"].found == "was never there"


def test_parts_that_began_before_the_configuration_changed(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    path = written(tmp_path, broker.url, prefix=prefix)
    config = load(path)
    presences = {part: Presence(prefix, part) for part in ("collector", "distiller", "publisher")}
    os.utime(path, ns=(wall(), wall()))
    presences["publisher"] = Presence(prefix, "publisher")  # started anew
    said = {each.topic: each.payload(online=True) for each in presences.values()}  # the others, but again
    retain(config, said)
    found = looked(fleet.check, path)
    states_ = {part: found[f"parts.{part}"].state for part in presences}
    assert states_ == {"collector": "warn", "distiller": "warn", "publisher": "ok"}
    assert "as iot-stream.yml was then: it was changed 20" in found["parts.collector"].found
    assert "restart the service" in found["parts.collector"].remedy


def test_a_bundle_that_devices_would_refuse_is_found(broker: Broker, tmp_path: Path, prefix: str) -> None:
    path = written(tmp_path, broker.url, prefix=prefix, keys=str(tmp_path / "keys"))
    Keys.create(tmp_path / "keys", 1, 1)
    config = load(path)
    bundle = topics.BUNDLE.of(prefix=prefix, pipeline="pumps", cohort="all", slot="stable")
    retain(config, {bundle: trust.pack_bundle({"timestamp.json": b"{}"})})
    try:
        found = next(each for name, each in looked(fleet.check, path).items() if name.startswith("release."))
        assert found.state == "fail"
        assert found.found.startswith("a new device would refuse it: malformed")
    finally:
        retain(config, {bundle: b""})


@pytest.mark.parametrize(
    ("age_s", "state", "found"),
    [(10, "ok", "the newest is of"), (7200, "warn", "the newest is of"), (-7200, "warn", "the newest is 7")],
)
def test_readings_that_are_old_or_from_the_future(tmp_path: Path, age_s: int, state: str, found: str) -> None:
    newest = fleet._newest("pumps", wall() - age_s * SECOND, live=True)
    assert newest.state == state
    assert newest.found.startswith(found)
    assert fleet._newest("pumps", wall() - age_s * SECOND, live=False).state == "ok"
    assert fleet._newest("pumps", 0, live=False).state == "warn"


def test_a_source_that_brings_nothing_is_found_though_the_teacher_speaks(tmp_path: Path) -> None:
    path = written(tmp_path)
    pipeline = load(path).pipelines["pumps"]
    now = wall()
    found = by_name(fleet._heard("pumps", pipeline, {1: now}))  # 0 has the readings, 1 the teacher's words
    assert {name: each.state for name, each in found.items()} == {
        "readings.pumps": "warn",
        "readings.pumps.sources.0": "warn",
    }
    assert "iot/pumps/device/+/telemetry" in found["readings.pumps.sources.0"].found
    found = by_name(fleet._heard("pumps", pipeline, {0: now}))
    assert {name: each.state for name, each in found.items()} == {
        "readings.pumps": "ok",
        "readings.pumps.teacher": "warn",
    }
    assert states(fleet._heard("pumps", pipeline, {0: now, 1: now})) == {"readings.pumps": "ok"}


def test_predictions_that_no_window_meets(tmp_path: Path) -> None:
    config = stores.configured(tmp_path)
    with closing(Store(config.store_place)) as store:
        for device, late in (("apart", 3_000_000), ("well", 0)):
            stores.join(store, device, 1)
            for number in range(20):
                end = START + number * SECOND
                cut(store, config, device, end)
                stores.speak(store, device, end + late, None, student=1)
        pipeline = config.pipelines[NAME]
        (found,) = fleet._unmet(NAME, pipeline, store)
        foreign = msgspec.structs.replace(pipeline.sources[0], format="json", topic="shop/{device}")
        gateways = msgspec.structs.replace(pipeline, sources=(foreign,))
        (of_gateway,) = fleet._unmet(NAME, gateways, store)
    assert (found.name, found.state) == (f"predictions.{NAME}", "warn")
    assert found.found.startswith("of apart no prediction is at a window's end")
    assert "`iot-stream device add` anew" in found.remedy
    assert "give `window` a `rate`" in of_gateway.remedy


def test_a_sensor_that_fell_silent_while_its_device_is_online(tmp_path: Path) -> None:
    config, minute = stores.configured(tmp_path), 60 * SECOND
    now = wall()
    with closing(Store(config.store_place)) as store:
        for device, online, every, ago in (
            ("living%2Fclimate", True, minute, 20 * minute),
            ("away", False, minute, 20 * minute),
            ("rare", True, 30 * minute, 40 * minute),
            ("well", True, minute, minute),
        ):
            stores.join(store, device, 1, online=online)
            for number in range(12):
                cut(store, config, device, now - ago - number * every)
        live = msgspec.structs.replace(config.pipelines[NAME], clock="wall")
        (found,) = fleet._silent(NAME, live, store)
        assert list(fleet._silent(NAME, msgspec.structs.replace(live, clock="stream"), store)) == []
    assert (found.name, found.state) == (f"readings.{NAME}.devices", "warn")
    assert found.found == f"online, and no window any more: living/climate since {iso(now - 20 * minute)}"


def test_what_was_refused_of_late_is_found(tmp_path: Path) -> None:
    config, hour = stores.configured(tmp_path), 3600 * SECOND
    with closing(Store(config.store_place)) as store:
        for age, topic in ((2 * hour, "old"), (2 * SECOND, "truth/a"), (SECOND, "truth/b")):
            with store.write() as tx:
                said = ("absurd_time", "label of b: no value at $.time", b"{}")
                store.faults.quarantine(tx, wall() - age, NAME, "b", topic, *said)
        (found,) = fleet._refused(NAME, store)
        assert list(fleet._refused("another", store)) == []
    assert (found.name, found.state) == (f"refused.{NAME}", "warn")
    assert found.found == "2 within an hour, the newest on truth/b: label of b: no value at $.time"


# --- the configuration


def test_a_plain_configuration_has_no_pitfalls(tmp_path: Path) -> None:
    assert states(pitfalls.check(load(written(tmp_path)), written(tmp_path))) == {"config": "ok"}


def test_pitfalls_are_found(tmp_path: Path) -> None:
    bare = {name: PIPELINE[name] for name in ("sources", "window", "task")} | {"clock": "stream"}
    path = written(tmp_path, "mqtt://ann:secret@host", bare, metrics={"host": "0.0.0.0"})
    path.chmod(0o644)
    found = list(pitfalls.check(load(path), path))
    assert {each.state for each in found} == {"warn"}
    text = " ".join(each.found for each in found)
    for part in ("has a password in it", "reads all metrics", "no trigger", "clock: stream"):
        assert part in text
    assert "nothing teaches" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("window", "counted"),
    [({"length": 5}, True), ({"length": 5, "hop": 1}, False), ({"length": 5, "rate": "1/s"}, False)],
)
def test_windows_that_a_gateway_would_count_otherwise_are_found(
    tmp_path: Path, window: dict[str, object], counted: bool
) -> None:
    source = {"topic": "shop/{device}", "format": "json", "channels": {"x": "$.x"}}
    path = written(tmp_path, pipeline=PIPELINE | {"sources": [source], "window": window})
    found = [each.found for each in pitfalls.check(load(path), path)]
    assert any("a gateway counts its windows" in each for each in found) == counted


def test_a_password_from_elsewhere_is_no_pitfall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s")
    path = written(tmp_path, "mqtt://ann:${SECRET}@host")
    path.chmod(0o644)
    assert states(pitfalls.check(load(path), path)) == {"config": "ok"}
    (tmp_path / "password").write_text("s\n")
    (tmp_path / "password").chmod(0o644)
    path = written(tmp_path, {"url": "mqtt://host", "user": "ann", "password_file": "password"})
    assert load(path).address.password == "s"
    assert states(pitfalls.check(load(path), path)) == {"config.secrets": "warn"}


# --- the command


def test_it_ends_with_1_where_something_failed(tmp_path: Path) -> None:
    path = written(tmp_path, keys=str(tmp_path / "keys"))
    done = CliRunner().invoke(main, ["doctor", "--config", str(path), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert {each["state"] for each in found} >= {"ok", "fail"}
    assert all(each["remedy"] for each in found if each["state"] != "ok")
    plain = CliRunner().invoke(main, ["doctor", "--config", str(path)])
    assert plain.exit_code == 1
    assert "fail broker.connection: no connection to mqtt://localhost:1" in plain.stdout
    assert "     → start the broker, or mend `broker:`" in plain.stdout


def test_it_ends_with_0_where_nothing_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (pitfalls.check, disk.check))
    done = CliRunner().invoke(main, ["doctor", "--config", str(written(tmp_path)), "--json"])
    assert done.exit_code == 0, done.output


def test_lines_to_write_stand_below_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = failed("broker.queue", "short", "write:\na 1\nb 2")
    monkeypatch.setattr(doctor, "CHECKS", (lambda *_: iter([found]),))
    done = CliRunner().invoke(main, ["doctor", "--config", str(written(tmp_path))])
    assert done.stdout == "fail broker.queue: short\n     → write:\n         a 1\n         b 2\n"


def test_a_check_that_cannot_be_made_is_a_finding(tmp_path: Path) -> None:
    path = written(tmp_path, {"logins": str(tmp_path / "nowhere")})
    found = by_name(doctor.examine(load(path), path))
    assert found["broker"].state == "fail"
    assert "`iot-stream broker-acl` makes logins" in found["broker"].found
    assert "disk.room" in found
