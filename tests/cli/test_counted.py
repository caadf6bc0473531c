"""A long command says how far it is and how long it still takes, in a terminal alone."""

import sys
from io import StringIO

import pytest

from iot_stream.cli import common


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is."""
    now = [100.0]
    monkeypatch.setattr(common.time, "monotonic", lambda: now[0])
    return now


def shown(written: str) -> list[str]:
    return [each.removesuffix("\033[K") for each in written.split("\r") if each not in ("", "\033[K")]


def test_it_counts_and_tells_what_is_left(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for _ in common.counted([10, 20, 10], 40, "windows", lambda size: size):
        clock[0] += 60
    assert shown(terminal.getvalue()) == [
        "[------------------------] 0 of 40 windows",
        "[######------------------] 10 of 40 windows, about 3 min left",
        "[##################------] 30 of 40 windows, about 40 s left",
        "[########################] 40 of 40 windows",
    ]
    assert terminal.getvalue().endswith("\r\033[K")


def test_what_nobody_can_count_is_counted_up(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert [*common.counted("ab", 0, "encodings")] == ["a", "b"]
    assert shown(terminal.getvalue()) == ["0 encodings", "1 encodings", "2 encodings"]


def test_where_nobody_sees_it_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert [*common.counted([1, 2], 2, "rows")] == [1, 2]
    assert capsys.readouterr().err == ""
