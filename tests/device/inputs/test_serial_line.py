"""A microcontroller on a serial line, played by a pseudo-terminal."""

import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from iot_stream.device.inputs import serial_line
from iot_stream.device.inputs.kinds import Serial
from tests.waiting import wait_until

pytest.importorskip("serial")


class Plug:
    """A board that can be unplugged, and comes back under the same name."""

    def __init__(self, folder: Path) -> None:
        self.port = folder / "ttyUSB0"
        self._board = -1

    def plug_in(self) -> None:
        self._board, there = os.openpty()
        tty.setraw(there)
        self.port.symlink_to(os.ttyname(there))
        self._there = there

    def unplug(self) -> None:
        self.port.unlink()
        os.close(self._there)
        os.close(self._board)

    def say(self, text: bytes) -> None:
        os.write(self._board, text)


class InterruptedEnd(BaseException):
    """As Ctrl-C in the pause before an attempt."""


class Reader:
    """Reads on a thread of its own, as a device does; pauses between attempts take no time."""

    def __init__(self, port: Path) -> None:
        self.lines: list[bytes] = []
        self.attempts = 0
        self._ended = threading.Event()
        self._found = serial_line.of_port(Serial(port=str(port), baud=9600), self._sleep)
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)
        self._thread.start()

    def _sleep(self, seconds: float) -> None:
        self.attempts += 1
        if self._ended.wait(0.01):
            raise InterruptedEnd

    def _read(self) -> None:
        with suppress(InterruptedEnd):
            for line in self._found:
                self.lines.append(line)

    def end(self) -> None:
        self._ended.set()
        self._thread.join(10)


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    return Plug(tmp_path)


@contextmanager
def reading(plug: Plug) -> Iterator[Reader]:
    reader = Reader(plug.port)
    try:
        yield reader
    finally:
        if plug.port.is_symlink():
            plug.unplug()
        reader.end()


@pytest.fixture
def reader(plug: Plug) -> Iterator[Reader]:
    with reading(plug) as reader:
        yield reader


def heard(plug: Plug, reader: Reader) -> None:
    """The reader listens."""
    before = len(reader.lines)

    def one_more() -> bool:
        plug.say(b"\n")
        return len(reader.lines) > before

    wait_until(one_more, "the line is open")


def test_whole_lines_are_read_however_they_come(plug: Plug, reader: Reader) -> None:
    plug.plug_in()
    heard(plug, reader)
    plug.say(b"1.5,")
    plug.say(b'2\r\n{"x": 1}\n3,')
    plug.say(b"4\n")
    wait_until(lambda: reader.lines[-1:] == [b"3,4"], "all lines")
    assert [line.strip() for line in reader.lines if line.strip()] == [b"1.5,2", b'{"x": 1}', b"3,4"]


def test_a_line_that_had_begun_before_is_left_out(plug: Plug) -> None:
    plug.plug_in()
    port = serial_line.of_port(Serial(port=str(plug.port)))
    lines: list[bytes] = []
    thread = threading.Thread(target=lambda: lines.append(next(port)), name="reader", daemon=True)
    thread.start()
    while not lines:
        plug.say(b"1.4,512\n21.4,512\n")
        thread.join(0.05)
    assert lines == [b"21.4,512"]
    plug.unplug()


def test_a_line_without_an_end_fills_no_memory(
    plug: Plug, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_line, "LONGEST", 1000)
    plug.plug_in()
    heard(plug, reader)
    for _ in range(20):
        plug.say(b"x" * 1500)
    plug.say(b"yy\n7,8\n")
    wait_until(lambda: reader.lines[-1:] == [b"7,8"], "the next line")
    assert all(len(line) < 1000 + 4096 for line in reader.lines), "no more than a terminal holds at once"


def test_unplugged_it_is_waited_for_and_that_is_said_once(
    plug: Plug, caplog: pytest.LogCaptureFixture
) -> None:
    with reading(plug) as reader:
        wait_until(lambda: reader.attempts > 3, "it is not there yet")
        plug.plug_in()
        heard(plug, reader)
        plug.unplug()
        before = reader.attempts
        wait_until(lambda: reader.attempts > before + 3, "it is gone")
        plug.plug_in()
        heard(plug, reader)
        plug.say(b"1,2\n")
        wait_until(lambda: reader.lines[-1:] == [b"1,2"], "it is back")
        assert caplog.text.count("trying again until it is there") == 2
        assert caplog.text.count("speaks again") == 2
