"""A faulty line: messages come twice or overtake each other; none is lost, none invented."""

import random

import pytest

from simulator.faults import FaultyLine


class Handle:
    def __init__(self) -> None:
        self.published = False

    def is_published(self) -> bool:
        return self.published


class Wire:
    def __init__(self) -> None:
        self.payloads: list[int] = []
        self.handles: list[Handle] = []

    def send(self, topic: str, payload: bytes) -> Handle:
        assert topic == "t"
        self.payloads.append(int(payload))
        self.handles.append(Handle())
        return self.handles[-1]


def line(duplicates: float, reordering: float, seed: int = 0) -> tuple[FaultyLine, Wire]:
    wire = Wire()
    return FaultyLine(wire.send, duplicates, reordering, random.Random(seed)), wire


def test_a_sound_line_sends_each_message_once_in_order() -> None:
    faulty, wire = line(0, 0)
    for i in range(50):
        assert len(faulty.publish("t", b"%d" % i)) == 1
    assert wire.payloads == list(range(50))


@pytest.mark.parametrize("seed", range(5))
def test_no_message_is_lost_and_none_overtaken_by_more_than_one(seed: int) -> None:
    faulty, wire = line(0.3, 0.3, seed)
    for i in range(200):
        faulty.publish("t", b"%d" % i)
    faulty.flush()
    assert set(wire.payloads) == set(range(200))
    assert 220 < len(wire.payloads) < 300
    firsts = list(dict.fromkeys(wire.payloads))
    assert firsts != sorted(firsts)
    assert max(abs(place - i) for place, i in enumerate(firsts)) == 1


def test_the_same_seed_gives_the_same_faults() -> None:
    runs = []
    for _ in range(2):
        faulty, wire = line(0.2, 0.2, 4)
        for i in range(100):
            faulty.publish("t", b"%d" % i)
        runs.append(wire.payloads)
    assert runs[0] == runs[1]


def test_a_message_held_back_is_published_when_it_has_been_sent_and_acknowledged() -> None:
    faulty, wire = line(0, 0.999999)
    (held,) = faulty.publish("t", b"0")
    assert not held.is_published()
    assert wire.payloads == []
    faulty.publish("t", b"1")
    assert wire.payloads == [1, 0]
    assert not held.is_published()
    wire.handles[1].published = True
    assert held.is_published()


def test_flush_sends_what_is_held_back_once() -> None:
    faulty, wire = line(0, 0.999999)
    faulty.publish("t", b"0")
    faulty.flush()
    faulty.flush()
    assert wire.payloads == [0]
