"""What goes out in which order, with a line that is there or not."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iot_stream.device import outbox as outbox_module
from iot_stream.device.outbox import IN_FLIGHT, Outbox
from iot_stream.device.spool import Spool, records
from iot_stream.errors import BrokerError
from tests.waiting import wait_until

LIMIT = 64_000


class Sent:
    def __init__(self) -> None:
        self.acknowledged = False

    def is_published(self) -> bool:
        return self.acknowledged


class Line:
    """As the connection: keeps what it is given, over reconnections, until it is acknowledged."""

    def __init__(self) -> None:
        self.connected = True
        self.acknowledges = True
        self.largest = 10**6
        self.sent: list[bytes] = []
        self.handles: list[Sent] = []

    def publish(self, topic: str, payload: bytes) -> Sent:
        if len(payload) > self.largest:
            raise BrokerError(f"{topic}: too much")
        assert topic == "topic"
        self.sent.append(payload)
        self.handles.append(Sent())
        self.handles[-1].acknowledged = self.acknowledges and self.connected
        return self.handles[-1]

    def comes_back(self) -> None:
        self.connected = self.acknowledges = True
        for handle in self.handles:
            handle.acknowledged = True


@contextmanager
def running(folder: Path, line: Line, limit: int = LIMIT) -> Iterator[Outbox]:
    outbox = Outbox(folder, limit, line, "d")
    outbox.start()
    try:
        yield outbox
    finally:
        line.connected = False
        outbox.stop()


def on_disk(folder: Path) -> list[bytes]:
    found = [record for path in sorted(folder.glob("*.log")) for record in records(path)]
    return [record.removeprefix(b"topic\0") for record in found]


def put(outbox: Outbox, *numbers: int) -> None:
    for number in numbers:
        outbox.put("topic", b"%d" % number)


def numbers(payloads: list[bytes]) -> list[int]:
    return [int(payload) for payload in payloads]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "TICK_S", 0.01)


def test_nothing_is_written_while_the_broker_hears(tmp_path: Path) -> None:
    line = Line()
    with running(tmp_path / "outbox", line) as outbox:
        put(outbox, *range(50))
        assert numbers(line.sent) == list(range(50))
    assert not (tmp_path / "outbox").exists()


def test_what_comes_while_the_broker_is_away_goes_out_first_when_it_is_back(tmp_path: Path) -> None:
    line = Line()
    with running(tmp_path, line) as outbox:
        put(outbox, 0, 1)
        line.connected = False
        put(outbox, *range(2, 20))
        assert numbers(on_disk(tmp_path)) == list(range(2, 20))
        assert numbers(line.sent) == [0, 1]
        line.comes_back()
        put(outbox, 20)  # behind them
        wait_until(lambda: len(line.sent) == 21, "all")
        put(outbox, 21)
        assert numbers(line.sent) == list(range(22))
        wait_until(lambda: list(tmp_path.iterdir()) == [], "nothing is left on disk")


def test_what_the_broker_had_not_acknowledged_is_on_disk_too_but_goes_out_once(tmp_path: Path) -> None:
    line = Line()
    line.acknowledges = False
    with running(tmp_path, line) as outbox:
        put(outbox, 0, 1, 2)
        assert on_disk(tmp_path) == []
        line.connected = False
        wait_until(lambda: numbers(on_disk(tmp_path)) == [0, 1, 2], "kept for the next process")
        put(outbox, 3)
        assert numbers(on_disk(tmp_path)) == [0, 1, 2, 3]
        line.comes_back()  # and brings the three itself
        wait_until(lambda: list(tmp_path.iterdir()) == [], "nothing is left on disk")
        assert numbers(line.sent) == [0, 1, 2, 3]


def test_a_connection_that_acknowledges_nothing_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "PATIENCE_S", 0.05)
    line = Line()
    line.acknowledges = False
    with running(tmp_path, line) as outbox:
        put(outbox, 0, 1)
        wait_until(lambda: numbers(on_disk(tmp_path)) == [0, 1], "kept, in case")
        assert numbers(line.sent) == [0, 1]


def test_only_so_many_are_in_flight(tmp_path: Path) -> None:
    line = Line()
    line.acknowledges = False
    with running(tmp_path, line, 10**6) as outbox:
        put(outbox, *range(IN_FLIGHT + 50))
        assert numbers(line.sent) == list(range(IN_FLIGHT))
        line.comes_back()
        wait_until(lambda: len(line.sent) == IN_FLIGHT + 50, "the rest")
        assert numbers(line.sent) == list(range(IN_FLIGHT + 50))


def test_only_so_many_bytes_are_in_flight(tmp_path: Path) -> None:
    line = Line()
    line.acknowledges = False
    line.largest = 10**7
    with running(tmp_path, line, 10**7) as outbox:
        for _ in range(10):
            outbox.put("topic", b"x" * 300_000)
        assert len(line.sent) == 4
        line.comes_back()
        wait_until(lambda: len(line.sent) == 10, "the rest")


def test_what_is_too_large_for_the_disk_goes_out_while_the_broker_hears_and_stops_no_other(
    tmp_path: Path,
) -> None:
    line = Line()
    line.acknowledges = False
    with running(tmp_path, line) as outbox:
        outbox.put("topic", b"0" * LIMIT)
        put(outbox, 1)
        line.connected = False
        wait_until(lambda: on_disk(tmp_path) == [b"1"], "the other")
        assert len(line.sent) == 2


def test_the_next_process_sends_what_the_last_one_could_not(tmp_path: Path) -> None:
    away = Line()
    away.connected = False
    with running(tmp_path, away) as outbox:
        put(outbox, 0, 1, 2)
    line = Line()
    with running(tmp_path, line) as outbox:
        put(outbox, 3)
        wait_until(lambda: len(line.sent) == 4, "all")
        assert numbers(line.sent) == [0, 1, 2, 3]


def test_stopping_keeps_what_was_on_its_way(tmp_path: Path) -> None:
    line = Line()
    line.acknowledges = False
    with running(tmp_path, line) as outbox:
        put(outbox, 0, 1)
    assert numbers(on_disk(tmp_path)) == [0, 1]


def test_when_it_is_full_the_oldest_go_and_it_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()
    line.connected = False
    with running(tmp_path, line) as outbox:
        put(outbox, *range(10_000))
        assert "outbox full" in caplog.text
        line.comes_back()
        wait_until(lambda: line.sent[-1:] == [b"9999"], "the newest")
        first = numbers(line.sent)[0]
        assert first > 0
        assert numbers(line.sent) == list(range(first, 10_000))
        assert f"{first} messages lost" in caplog.text


def test_what_the_broker_never_takes_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()
    line.connected = False
    with running(tmp_path, line) as outbox:
        put(outbox, 0, 10**50, 1)
        line.largest = 10
        line.comes_back()
        wait_until(lambda: line.sent[-1:] == [b"1"], "the others")
        assert numbers(line.sent) == [0, 1]
        assert "left out" in caplog.text
        with pytest.raises(BrokerError, match="too much"):
            put(outbox, 10**50)
        line.connected = False
        with pytest.raises(BrokerError, match="give `outbox` more"):
            outbox.put("topic", b"x" * LIMIT)


def full(_: Spool, __: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_a_disk_the_connection_keeps_them_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Spool, "append", full)
    line = Line()
    line.connected = False
    with caplog.at_level(logging.WARNING), running(tmp_path, line) as outbox:
        put(outbox, 0, 1, 2)
        assert numbers(line.sent) == [0, 1, 2]
        assert caplog.text.count("No space left") == 1


def test_without_an_outbox_the_connection_keeps_them(tmp_path: Path) -> None:
    line = Line()
    line.connected = False
    with running(tmp_path / "outbox", line, 0) as outbox:
        put(outbox, 0, 1)
        assert numbers(line.sent) == [0, 1]
    assert not (tmp_path / "outbox").exists()


def test_it_writes_to_the_disk_once_in_a_while_not_once_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "TICK_S", 3600)
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(descriptor)

    monkeypatch.setattr("iot_stream.device.spool.os.fsync", sync)
    line = Line()
    line.connected = False
    with running(tmp_path, line) as outbox:
        put(outbox, *range(500))
        assert len(synced) <= 6  # folders, and when the thread woke up
    assert numbers(on_disk(tmp_path)) == list(range(500))
