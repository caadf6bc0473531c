"""`iot-stream discover` and `iot-stream init`: bounded, clear when there is silence, never overwriting."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from iot_stream.address import Broker as BrokerSettings
from iot_stream.clock import SECOND, wall
from iot_stream.config import load
from iot_stream.formats import Heard, decoder
from iot_stream.formats.sparkplug_payload import REBIRTH, Datatype, Metric, dbirth, nbirth, ndata, parse
from iot_stream.ingest.discover.heard import Ear
from iot_stream.ingest.discover.listening import listen
from iot_stream.mqtt import Connection, Message
from iot_stream.presence import Presence
from iot_stream.service.broker import Broker
from tests.cli.test_commands import run
from tests.waiting import wait_until

READING = json.dumps({"co2": 812, "temp": 21.5, "ts": "2024-03-01T08:00:00Z", "rssi": -60}).encode()


@contextmanager
def saying(broker: Broker, prefix: str, said: Mapping[str, bytes]) -> Iterator[None]:
    """Retained on the broker for a while."""
    speaker = Connection(BrokerSettings(url=broker.url).address(), f"{prefix}-{uuid4().hex}", lambda _: None)
    speaker.start()
    for topic, payload in said.items():
        speaker.publish_and_wait(topic, payload, retain=True)
    yield
    for topic in said:
        speaker.publish_and_wait(topic, b"", retain=True)
    speaker.stop()


@pytest.fixture
def sensors(broker: Broker, prefix: str) -> Iterator[list[str]]:
    """Topics of three rooms, whose newest readings are retained."""
    topics = [f"{prefix}/room{i}/air" for i in range(3)]
    with saying(broker, prefix, dict.fromkeys(topics, READING)):
        yield topics


@pytest.fixture
def judged(broker: Broker, prefix: str) -> Iterator[str]:
    """The root of a line's topics: what three machines measure, and a verdict on each."""
    said = {}
    for i, verdict in enumerate(("good", "bad", "good")):
        time = f"2024-03-01T08:00:0{i}Z"
        said[f"{prefix}/sensor/m{i}"] = json.dumps({"time": time, "x": 0.5 + i, "value": i}).encode()
        said[f"{prefix}/verdict/m{i}"] = json.dumps({"time": time, "verdict": verdict}).encode()
        said[f"{prefix}/score/m{i}"] = json.dumps({"time": time, "value": i}).encode()
    with saying(broker, prefix, said):
        yield prefix


def test_retained_readings_are_found(broker: Broker, prefix: str, sensors: list[str]) -> None:
    out = run("discover", "--broker", broker.url, "--seconds", "1", "--filter", f"{prefix}/#").stdout
    assert f"{len(sensors)} messages on {len(sensors)} topics" in out
    assert f'topic: "{prefix}/{{device}}/air"' in out
    assert "3 devices (room0, room1, room2)" in out
    assert "co2: $.co2  # 812 ppm?" in out


@pytest.mark.timeout(120)
def test_silence_ends_in_time_and_says_what_to_do(broker: Broker, prefix: str) -> None:
    said = run(
        "discover", "--broker", broker.url, "--seconds", "0.5", "--filter", f"{prefix}/#", code=6
    ).stderr
    assert f"nothing was said on {prefix}/#" in said
    assert "--seconds" in said
    assert "is the broker running" in run("discover", "--broker", "mqtt://localhost:1", code=3).stderr


def test_ctrl_c_ends_earlier_and_prints_what_there_is(
    broker: Broker, prefix: str, sensors: list[str]
) -> None:
    command = [sys.executable, "-m", "iot_stream.cli", "discover", "--seconds", "600", "--broker", broker.url]
    process = subprocess.Popen(
        [*command, "--filter", f"{prefix}/#", "--filter", f"{prefix}-more"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    assert "listening" in process.stderr.readline()
    while f"on {len(sensors)} topics" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"on {len(sensors)} topics" in out


def test_init_writes_what_check_accepts(tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    run("init", "--yes", "--config", str(path))
    assert "x y" in run("config", "check", "--config", str(path)).stdout
    before = path.read_text()
    assert "--force" in run("init", "--yes", "--config", str(path), code=2).stderr
    assert path.read_text() == before
    login = ["--user", "nonesuch", "--password", "it's"]
    options = [
        *login,
        "--format",
        "json",
        "--topic",
        "lab/{device}/air",
        "--channels",
        "co2,humidity=$.air.rh",
    ]
    options += ["--classes", "empty,occupied", "--length", "10", "--rate", "1/min", "--pipeline", "lab"]
    out = run("init", "--yes", "--force", "--config", str(path), *options).stdout
    assert "iot-stream serve" in out
    config = load(path)
    assert (config.address.user, config.address.password) == ("nonesuch", "it's")
    pipeline = config.pipelines["lab"]
    assert pipeline.classes == ("empty", "occupied")
    assert dict(pipeline.sources[0].channels) == {"co2": "$.co2", "humidity": "$.air.rh"}
    assert (pipeline.window.length, int(pipeline.window.rate or 0)) == (10, 60 * 10**9)


@pytest.mark.parametrize(("rate", "length"), [("none", 64), ("100/s", 64), ("2/s", 32), ("1/min", 8)])
def test_a_first_window_is_not_long_in_coming(tmp_path: Path, rate: str, length: int) -> None:
    path = tmp_path / "iot-stream.yml"
    run("init", "--yes", "--config", str(path), "--rate", rate)
    assert load(path).pipelines["main"].window.length == length


def test_init_shows_how_a_topic_teaches_without_recordings(tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    said = run("init", "--yes", "--config", str(path), "--classes", "empty,occupied").stdout
    assert "no recordings are needed: `teacher: {topic: …}` and `labels:`" in said.replace("\n", " ")
    text = path.read_text().replace("    teacher: {arch", "    # teacher: {arch")
    for name in ("labels: ", "teacher: {topic", "teacher_wait: "):
        text = text.replace(f"    # {name}", f"    {name}")
    path.write_text(text)
    pipeline = load(path).pipelines["main"]
    assert pipeline.labels is not None
    assert pipeline.teacher.topic is not None
    assert (pipeline.labels.topic, pipeline.labels.until) == (pipeline.teacher.topic.topic, "$.until")


def test_init_asks_for_a_login_only_where_there_is_no_way_without(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "iot_stream.cli", "init", "--config", str(tmp_path / "c.yml")],
        input="mqtt://localhost:1\ny\n\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 3
    assert "without a login: no connection to mqtt://localhost:1" in asked.stderr
    assert "User name there, or none" in asked.stdout


def test_init_leaves_nothing_behind_that_would_not_do(tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    said = run("init", "--yes", "--config", str(path), "--classes", "one", code=2).stderr
    assert "is not written, for it would not do: pipelines.main.task" in said
    assert "draft" not in said
    assert list(tmp_path.iterdir()) == []


def test_init_takes_what_it_hears(broker: Broker, prefix: str, sensors: list[str], tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    heard = ["--broker", broker.url, "--listen", "--seconds", "1", "--filter", f"{prefix}/#"]
    run("init", "--yes", "--config", str(path), *heard, "--channels", "co2")
    (source,) = load(path).pipelines["main"].sources
    assert (source.topic, dict(source.channels)) == (f"{prefix}/{{device}}/air", {"co2": "$.co2"})
    assert len(sensors) == 3
    run("config", "check", "--config", str(path))


def test_what_only_listening_can_use_listens(
    broker: Broker, prefix: str, sensors: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "iot-stream.yml"
    init = ["init", "--yes", "--config", str(path), "--broker", broker.url]
    said = run(*init, "--seconds", "1", "--filter", f"{prefix}/#", "--teacher", sensors[0])
    assert f"listening to {broker.url} for 1 s" in said.stderr
    teacher = load(path).pipelines["main"].teacher.topic
    assert teacher is not None
    assert "{device}" in teacher.topic
    path.unlink()
    silent = run(*init, "--teacher", f"{prefix}/nobody", "--seconds", "1", code=2).stderr
    assert f"nothing was heard on {prefix}/nobody" in silent
    assert "--seconds says for how long" in silent
    refused = run(*init, "--no-listen", "--seconds", "3", code=2).stderr
    assert "--no-listen says not to" in refused
    refused = run(*init, "--no-listen", "--teacher", sensors[0], code=2).stderr
    assert f"nothing was heard on {sensors[0]}" in refused
    assert list(tmp_path.iterdir()) == []


def test_what_tells_classes_is_no_sensor(broker: Broker, judged: str) -> None:
    out = run("discover", "--broker", broker.url, "--seconds", "1", "--filter", f"{judged}/#").stdout
    assert f'- topic: "{judged}/verdict' not in out
    assert f'{{topic: "{judged}/verdict/{{device}}", value: $.verdict, time: $.time}}  # bad, good' in out


def test_init_takes_the_verdict_for_the_teacher(broker: Broker, judged: str, tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    heard = ["--broker", broker.url, "--listen", "--seconds", "1", "--filter", f"{judged}/#"]
    said = run("init", "--yes", "--config", str(path), *heard).stdout
    assert f"{judged}/verdict/{{device}} tells classes: bad, good; 3 devices" in said
    assert "No recordings are needed" in said
    pipeline = load(path).pipelines["main"]
    teacher = pipeline.teacher.topic
    assert teacher is not None
    assert (teacher.topic, teacher.value, teacher.time) == (
        f"{judged}/verdict/{{device}}",
        "$.verdict",
        "$.time",
    )
    assert pipeline.classes == ("bad", "good")
    assert not any("verdict" in source.topic for source in pipeline.sources[:-1])
    run("config", "check", "--config", str(path))


@pytest.mark.parametrize("role", ["--teacher", "--labels"])
@pytest.mark.parametrize("named", ["score/m1", "score/{device}", "score/+"])
def test_a_named_topic_is_no_device_and_no_channel(
    broker: Broker, judged: str, tmp_path: Path, role: str, named: str
) -> None:
    """It tells numbers, as a sensor does: only the person can know."""
    path = tmp_path / "iot-stream.yml"
    heard = ["--broker", broker.url, "--listen", "--seconds", "1", "--filter", f"{judged}/sensor/#"]
    heard += ["--filter", f"{judged}/score/{'m1' if named.endswith('m1') else '#'}"]
    run("init", "--yes", "--config", str(path), *heard, role, f"{judged}/{named}")
    pipeline = load(path).pipelines["main"]
    told = pipeline.teacher.topic if role == "--teacher" else pipeline.labels
    assert told is not None
    assert (told.topic, told.value, told.time) == (f"{judged}/score/{{device}}", "$.value", "$.time")
    source = pipeline.sources[0]
    assert (source.topic, set(source.channels)) == (f"{judged}/sensor/{{device}}", {"x", "value"})
    assert set(pipeline.cut(pipeline.student).inputs) == {"x", "value"}


@contextmanager
def at_work(speaker: Connection, speak: Callable[[], None], done: threading.Event) -> Iterator[None]:
    """`speak` goes on beside, until it is `done`."""
    speaking = threading.Thread(target=speak)
    speaker.start()
    speaking.start()
    try:
        yield
    finally:
        done.set()
        speaking.join(10)
        speaker.stop()


@contextmanager
def scored(broker: Broker, prefix: str) -> Iterator[None]:
    """Ten readings a second of a machine, and a score that looks like them, one a second."""
    speaker = Connection(BrokerSettings(url=broker.url).address(), f"{prefix}-line", lambda _: None)
    done = threading.Event()

    def speak() -> None:
        for i in itertools.takewhile(lambda _: not done.wait(0.005), itertools.count()):
            told = {"time": 1_700_000_000 + i / 10, "value": i % 20 // 10}
            speaker.publish(f"{prefix}/sensor/m1", json.dumps(told).encode())
            if not i % 10:
                speaker.publish(f"{prefix}/score/m1", json.dumps(told).encode())

    with at_work(speaker, speak, done):
        yield


def test_the_rate_is_that_of_the_sensors(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    heard = ["--broker", broker.url, "--listen", "--seconds", "1.5", "--filter", f"{prefix}/#"]
    with scored(broker, prefix):
        said = run("init", "--yes", "--config", str(path), *heard, "--teacher", f"{prefix}/score/m1").stdout
    assert f"1. {prefix}/sensor/{{device}} (json, 1 device): value" in said
    assert int(load(path).pipelines["main"].window.rate or 0) == 10**8


@contextmanager
def changing(broker: Broker, prefix: str) -> Iterator[None]:
    """Fifty readings a second of a machine, and a verdict that changes every 0.4 s."""
    speaker = Connection(BrokerSettings(url=broker.url).address(), f"{prefix}-shop", lambda _: None)
    done = threading.Event()

    def speak() -> None:
        start = time.monotonic()
        for i in itertools.takewhile(lambda _: not done.wait(0.02), itertools.count()):
            speaker.publish(f"{prefix}/w1/data", json.dumps({"x": i / 2}).encode())
            if not i % 5:
                word = "worn" if (time.monotonic() - start) // 0.4 % 2 else "ok"
                told = {"ts": wall() / SECOND, "verdict": word}
                speaker.publish(f"{prefix}/w1/verdict", json.dumps(told).encode())

    with at_work(speaker, speak, done):
        yield


def test_a_window_ends_before_its_class_does(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    heard = ["--broker", broker.url, "--listen", "--seconds", "3", "--filter", f"{prefix}/#"]
    with changing(broker, prefix):
        said = run("init", "--yes", "--config", str(path), *heard).stdout
    assert "Its word changes every 0." in said
    assert f"once {prefix}/{{device}}/verdict has told two classes,\nand 60 windows have a word of it" in said
    assert re.search(r"\n\d+ (s|min) with one device, less with several", said)
    assert "device add NAME" in said
    assert "iot-stream dashboard" in said
    pipeline = load(path).pipelines["main"]
    assert pipeline.window.length < 16  # at this rate 64, did nobody teach
    assert pipeline.labels is None
    path.write_text(path.read_text().replace("    # labels: ", "    labels: "))
    labels = load(path).pipelines["main"].labels
    assert labels is not None
    assert (labels.topic, labels.value, labels.time, int(labels.hold or 0)) == (
        f"{prefix}/{{device}}/verdict",
        "$.verdict",
        "$.ts",
        600 * SECOND,
    )


def test_the_one_that_teaches_teaches_all_sensors(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """Zigbee2MQTT's devices are called as a person calls them: a teacher is none of its pupils."""
    path, base = tmp_path / "iot-stream.yml", f"{prefix}/zigbee2mqtt"
    common = {"battery": 88, "linkquality": 120, "last_seen": 1_772_438_400_000}
    said = {
        f"{base}/living room/climate": json.dumps({"temperature": 21.3, "humidity": 44.1, **common}).encode(),
        f"{base}/living room/presence": json.dumps({"occupancy": True, **common}).encode(),
    }
    heard = ["--broker", broker.url, "--listen", "--seconds", "1", "--filter", f"{base}/#"]
    with saying(broker, prefix, said):
        named = ["--teacher", f"{base}/living room/presence"]
        out = run("init", "--yes", "--config", str(path), *heard, *named).stdout
    assert "teaches" in out
    pipeline = load(path).pipelines["main"]
    teacher = pipeline.teacher.topic
    assert teacher is not None
    assert teacher.value == "$.occupancy"
    ((_, pupils),) = teacher.devices.items()
    assert [name.endswith("climate") for name in pupils] == [True]
    assert pipeline.classes == ("no_occupancy", "occupancy")
    assert "occupancy" not in pipeline.cut(pipeline.student).inputs


def test_who_tells_the_same_in_another_room_is_no_channel(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    path, base = tmp_path / "iot-stream.yml", f"{prefix}/zigbee2mqtt"
    common = {"battery": 88, "linkquality": 120, "last_seen": 1_772_438_400_000}
    said = {}
    for room in ("desk", "bed"):
        climate, presence = {"temperature": 21.3, **common}, {"presence": True, "illuminance": 12, **common}
        said[f"{base}/{room}/climate"] = json.dumps(climate).encode()
        said[f"{base}/{room}/presence"] = json.dumps(presence).encode()
    heard = ["--broker", broker.url, "--listen", "--seconds", "1", "--filter", f"{base}/#"]
    with saying(broker, prefix, said):
        init = ("init", "--yes", "--force", "--config", str(path), *heard, "--teacher")
        one = run(*init, f"{base}/desk/presence").stdout
        alone = load(path).pipelines["main"]
        run(*init, f"{base}/+/presence")
        both = load(path).pipelines["main"]
        refused = run(*init, f"{base}/#", code=2).stderr
    assert f"{base}/bed/presence says so too" in one
    assert "presence" not in alone.cut(alone.student).inputs
    assert "presence" not in both.cut(both.student).inputs
    assert both.teacher.topic is not None
    assert both.teacher.topic.topic == f"{base}/{{device}}/presence"
    assert "write + for each level" in refused


def test_a_teacher_of_zigbee2mqtt_is_written_in_its_dialect(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    """Its devices may be called `living room/pir`, and all speak on alike topics."""
    path, base = tmp_path / "iot-stream.yml", f"{prefix}-z2m"
    common = {"battery": 88, "linkquality": 120, "last_seen": 1_772_438_400_000}
    said = {
        f"{base}/bridge/state": b'{"state":"online"}',
        f"{base}/living room/climate": json.dumps({"temperature": 21.3, **common}).encode(),
        f"{base}/hall": json.dumps({"temperature": 19.3, **common}).encode(),
        f"{base}/living room/pir": json.dumps({"occupancy": True, **common}).encode(),
    }
    heard = ["--broker", broker.url, "--listen", "--seconds", "1", "--filter", f"{base}/#"]
    with saying(broker, prefix, said):
        named = ["--teacher", f"{base}/living room/pir", "--classes", "empty,present"]
        run("init", "--yes", "--config", str(path), *heard, *named)
    pipeline = load(path).pipelines["main"]
    teacher = pipeline.teacher.topic
    assert teacher is not None
    assert (teacher.topic, teacher.format) == (f"{base}/{{device...}}", "zigbee2mqtt")
    assert (teacher.value, teacher.time) == ("occupancy", "")
    assert teacher.devices == {"living room/pir": ("living room/climate",)}  # it knows nothing of the hall
    decode = decoder(pipeline.sources[-1], 1)
    told = {
        name: decode.decode(Heard(said[f"{base}/{name}"], 0, {"device": name}))
        for name in ("living room/pir", "hall", "bridge/state")
    }
    assert {name: [(each.device, each.values.tolist()) for each in own] for name, own in told.items()} == {
        "living room/pir": [("living room%2Fclimate", [[1.0]])],
        "hall": [],
        "bridge/state": [],
    }


@pytest.fixture
def press(broker: Broker, prefix: str) -> Iterator[str]:
    """The namespace of a press that speaks Sparkplug; a tag in it tells whether its tool is worn."""
    metrics = [
        Metric("Inputs/Pressure", 4.1, Datatype.DOUBLE),
        Metric("Inputs/Temperature", 58.0, Datatype.DOUBLE),
        Metric("Quality/Worn", False, Datatype.BOOLEAN),
    ]
    namespace = f"{prefix}-b"
    with saying(
        broker, prefix, {f"{namespace}/plant/DBIRTH/edge/press": dbirth(metrics, wall() // 10**6, 1)}
    ):
        yield namespace


def test_a_metric_of_sparkplug_teaches_and_is_not_seen(broker: Broker, press: str, tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    init = ["init", "--yes", "--config", str(path), "--broker", broker.url]
    init += ["--seconds", "1", "--filter", f"{press}/#"]
    said = run(*init, "--teacher", "Quality/Worn", "--classes", "good,worn").stdout
    assert "1. Quality/Worn tells classes beside what it measures: false, true" in said
    written = path.read_text()
    by_number = ["--force", "--teacher", "1", "--classes", "good,worn"]
    run(*init, *by_number)
    assert path.read_text() == written
    refused = run(*init, "--force", "--teacher", "2", code=2).stderr
    assert "2 is none of the 1 that tell classes" in refused
    told = run("discover", *init[4:]).stdout
    assert "# Quality/Worn tells classes beside what it measures (false, true): it may teach: " in told
    pipeline = load(path).pipelines["main"]
    teacher = pipeline.teacher.topic
    assert teacher is not None
    assert (teacher.topic, teacher.format, teacher.value) == (
        f"{press}/{{group}}/{{type}}/{{node...}}",
        "sparkplug",
        "Quality/Worn",
    )
    assert set(pipeline.cut(pipeline.student).inputs) == {"pressure", "temperature"}
    run("config", "check", "--config", str(path))


def test_a_topic_of_sparkplug_does_not_say_which_metric_teaches(
    broker: Broker, press: str, tmp_path: Path
) -> None:
    init = ["init", "--yes", "--config", str(tmp_path / "c.yml"), "--broker", broker.url]
    init += ["--seconds", "0.5", "--filter", f"{press}/#"]
    for topic in (f"{press}/{{group}}/{{type}}/{{node...}}", f"{press}/plant/DBIRTH/edge/press"):
        refused = run(*init, "--teacher", topic, code=2).stderr
        assert f"--teacher: {topic}: Sparkplug tells all metrics there; name the one" in refused


@pytest.mark.parametrize("rebirth", [True, False])
def test_a_birth_is_asked_for_if_a_person_says_so(
    broker: Broker, prefix: str, rebirth: bool, tmp_path: Path
) -> None:
    node = f"{prefix}-b/plant/{{}}/edge"
    asked: list[bytes] = []
    pressure = Metric("Inputs/Pressure", 4.1, Datatype.DOUBLE, alias=1)

    def bear(message: Message) -> None:
        asked.append(message.payload)
        edge.publish(node.format("NBIRTH"), nbirth([pressure], wall() // 10**6))

    edge = Connection(BrokerSettings(url=broker.url).address(), f"{prefix}-edge", bear)
    edge.subscribe(node.format("NCMD"))
    edge.start()
    ear, done = Ear(), threading.Event()

    def heard() -> None:
        if any(topic.name == node.format("NBIRTH" if rebirth else "NDATA") for topic in ear.topics):
            done.set()

    try:
        edge.publish_and_wait(node.format("NDATA"), ndata([pressure], wall() // 10**6, 5), retain=True)
        listen(ear, edge.address, [f"{prefix}-b/#"], 60, done, heard, rebirth=rebirth)
        edge.publish_and_wait(node.format("NCMD"), nbirth([], 1))  # behind all that was asked
        wait_until(lambda: nbirth([], 1) in asked, "its own command")
        assert [parse(each, "").metrics[0].name for each in asked[:-1]] == [REBIRTH] * rebirth
        at = ["--broker", broker.url, "--seconds", "0.5", "--filter", f"{prefix}-b/#"]
        hint = "Sparkplug without a birth, which the service asks for; --rebirth asks now"
        assert hint in run("discover", *at).stdout
        said = run("init", "--yes", "--config", str(tmp_path / "iot-stream.yml"), *at).stderr
        assert "no birth was heard of 1 Sparkplug node: --rebirth asks for it" in said
    finally:
        edge.publish_and_wait(node.format("NDATA"), b"", retain=True)
        edge.stop()


def test_a_service_at_work_is_noticed(
    broker: Broker, prefix: str, sensors: list[str], tmp_path: Path
) -> None:
    """Another on its prefix would not start. Of one that has ended, the prefix is free."""
    path = tmp_path / "iot-stream.yml"
    filters = [f"--filter={each}" for each in (f"{prefix}/#", "iot/service/+", "iot2/service/+")]
    heard = ["--broker", broker.url, "--seconds", "1", *filters]
    said = {}
    for name, online in (("iot", True), ("iot2", False)):
        presence = Presence(name, "collector")
        said[presence.topic] = presence.payload(online=online)
    with saying(broker, prefix, said):
        assert "# iot-stream is at work there, with prefix iot\n" in run("discover", *heard).stdout
        out = run("init", "--yes", "--config", str(path), "--listen", *heard).stdout
        assert "An iot-stream service is at work there, with prefix iot" in out
        assert load(path).prefix == "iot2"
        same = ["--force", "--prefix", "iot"]
        run("init", "--yes", "--config", str(path), "--listen", *heard, *same)
        assert load(path).prefix == "iot"
    assert "at work" not in run("init", "--yes", "--force", "--config", str(path), "--listen", *heard).stdout
    assert (load(path).prefix, len(sensors)) == ("iot", 3)


def test_init_asks(broker: Broker, prefix: str, sensors: list[str], tmp_path: Path) -> None:
    path = tmp_path / "iot-stream.yml"
    answers = [broker.url, "none", "1", "temp,co2", "empty,occupied", "2/min", "16"]
    heard = ["--seconds", "1", "--filter", f"{prefix}/#"]
    asked = subprocess.run(
        [sys.executable, "-m", "iot_stream.cli", "init", "--config", str(path), *heard],
        input="\n".join(answers) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    assert "3 devices): co2 temp" in asked.stdout or "3 devices): temp co2" in asked.stdout
    pipeline = load(path).pipelines["main"]
    assert set(pipeline.sources[0].channels) == {"temp", "co2"}
    assert (pipeline.window.length, int(pipeline.window.rate or 0)) == (16, 30 * 10**9)
    assert len(sensors) == 3
