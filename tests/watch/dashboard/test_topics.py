"""What is said of models is heard, kept in bounds, and told to whoever asks for what is new."""

from pathlib import Path

from iot_stream import topics
from iot_stream.config import Config, load
from iot_stream.mqtt import Connection, Message
from iot_stream.service.broker import Broker
from iot_stream.watch.dashboard.views.topics import MOST, Heard
from tests.service.running import NAME, write_config
from tests.waiting import wait_until
from tests.watch.stores import configured


def message(device: str, version: int, *, retained: bool = False) -> Message:
    topic = topics.STATUS.of(prefix="p", pipeline=NAME, device=device)
    return Message(topic, topics.encode(topics.Status(True, version)), retained, 0, 1, 1)


def heard(config: Config) -> tuple[Heard, list[str]]:
    also: list[str] = []
    return Heard(config, lambda topic, _: also.append(topic)), also


def test_lines_say_who_got_what(tmp_path: Path) -> None:
    found, also = heard(configured(tmp_path))
    found.take(message("pump", 3, retained=True))
    found.take(message("pump", 3, retained=True))  # said again
    found.take(message("pump", 4))
    lines = found.view(NAME, {}).lines
    assert [(line.kind, line.about, line.words, line.kept) for line in lines] == [
        ("device", "pump", "online, version 3", True),
        ("device", "pump", "online, version 4", False),
    ]
    assert len(also) == 2
    assert found.view(NAME, {"after": str(lines[0].n)}).lines == lines[1:]
    assert found.newest(NAME)[0] == lines[1].n


def test_of_many_lines_the_oldest_go_and_that_is_told(tmp_path: Path) -> None:
    found, _ = heard(configured(tmp_path))
    found.take(message("pump", 0))
    assert not found.view(NAME, {}).missed
    for version in range(1, MOST + 10):
        found.take(message("pump", version))
    told = found.view(NAME, {"after": "1"})
    assert len(told.lines) == MOST
    assert told.missed
    assert not found.view(NAME, {"after": str(told.lines[0].n)}).missed


def test_what_is_none_of_ours_is_left(tmp_path: Path) -> None:
    found, also = heard(configured(tmp_path))
    for topic in (topics.TELEMETRY.of(prefix="p", pipeline=NAME, device="pump"), "p/other/device/d/status"):
        found.take(Message(topic, topics.encode(topics.Status(True)), False, 0, 1, 1))
    assert found.view(NAME, {}).lines == []
    assert also == ["p/other/device/d/status"]


def test_what_cannot_be_read_is_a_line_too(tmp_path: Path) -> None:
    found, _ = heard(configured(tmp_path))
    topic = topics.STATUS.of(prefix="p", pipeline=NAME, device="pump")
    found.take(Message(topic, b"{", False, 0, 1, 1))
    assert [line.kind for line in found.view(NAME, {}).lines] == ["unclear"]


def test_it_hears_the_broker(broker: Broker, prefix: str, tmp_path: Path) -> None:
    config = load(write_config(tmp_path, broker.url, prefix))
    found, _ = heard(config)
    found.start()
    speaker = Connection(config.address, f"{prefix}-speaker", lambda _: None)
    speaker.start()
    try:
        report = topics.Report("applied", 1, 2, 1, swap_us=12.0)
        topic = topics.REPORT.of(prefix=prefix, pipeline=NAME, device="pump")
        service = topics.SERVICE.of(prefix=prefix, part="distiller")
        speaker.publish_and_wait(service, topics.encode(topics.Service(True, "i")), retain=True)
        words: dict[str, str] = {}

        def heard_both() -> bool:  # the report is not retained: said before the broker took the subscription…
            speaker.publish(topic, topics.encode(report))
            words.update((line.about, line.words) for line in found.view(NAME, {}).lines)
            return len(words) == 2

        wait_until(heard_both, "both lines")
        assert words == {"pump": "version 2 for 1, swapped in 12 µs", "distiller": "running"}
        assert found.view(NAME, {}).connected
    finally:
        speaker.publish_and_wait(service, b"", retain=True)
        speaker.stop()
        found.stop()
