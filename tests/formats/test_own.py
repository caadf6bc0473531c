"""A decoder of the user's own."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Source, load
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, decoder
from iot_stream.formats.json_paths import MOST_ROWS
from iot_stream.readings import Block
from tests.streams import START

ME = f"{__name__}:"
told: list[object] = []


def lines(heard: Heard) -> Iterator[tuple[str, str, dict[str, str]]]:
    for line in heard.payload.decode().splitlines():
        name, at, celsius, state = line.split()
        yield name, at, {"t": celsius, "door": state}


def whatever(_: Heard) -> Iterable[object]:
    return told


def endless(_: Heard) -> Iterator[tuple[None, None, dict[str, int]]]:
    while True:
        yield None, None, {"t": 1}


not_callable = 7


def read(name: str, payload: bytes = b"", **settings: object) -> list[Block]:
    source = Source(format=ME + name, topic="x/{device}", **settings)
    return decoder(source, 2).decode(Heard(payload, START, {"device": "d"}))


def test_readings_of_many_devices_become_blocks() -> None:
    said = b"a 2015-02-19T14:43:20Z 21.5 open\nb 1424357001 22 closed\na 1424357060 21.75 open"
    a, b = read("lines", said)
    assert (a.device, a.channels, a.source, a.arrival_stamped) == ("a", ("t", "door"), 2, False)
    np.testing.assert_array_equal(a.values, [[21.5, 1], [21.75, 1]])
    assert ((a.times - START) // 10**9).tolist() == [0, 60]
    assert (b.device, b.values.tolist()) == ("b", [[22, 0]])


def test_channels_choose_and_rename() -> None:
    (block,) = read("lines", b"a 1424357000 21.5 ajar", channels={"temperature": "t"})
    assert (block.channels, block.values.tolist()) == (("temperature",), [[21.5]])
    (block,) = read("lines", b"a 1424357000 21.5 ajar", values={"ajar": 0.5})
    assert block.values.tolist() == [[21.5, 0.5]]


def test_without_device_and_time_they_are_the_topics_and_of_arrival() -> None:
    told[:] = [(None, None, {"t": 1}), ("", None, {"t": 2})]
    (block,) = read("whatever")
    assert (block.device, block.times.tolist(), block.arrival_stamped) == ("d", [START, START], True)


@pytest.mark.parametrize(
    ("name", "payload", "says"),
    [
        ("lines", b"\xff", "decoder_failed: .*UnicodeDecodeError"),
        ("lines", b"a b", "decoder_failed: .*ValueError"),
        ("lines", b"a yesterday 1 on", "absurd_time"),
        ("lines", b"a 1424357000 warm on", "wrong_type"),
        ("endless", b"", "too_large"),
    ],
)
def test_what_goes_wrong_in_it_is_counted(name: str, payload: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(name, payload)


def test_none_of_the_channels_that_are_asked_for_is_said() -> None:
    with pytest.raises(DataError, match="unknown_channel"):
        read("lines", b"a 1424357000 1 on", channels={"co2": "co2"})


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.lists(st.tuples(ANY, ANY, ANY) | ANY, max_size=3))
def test_whatever_it_gives_there_are_blocks_or_a_data_error(given: list[object]) -> None:
    told[:] = given
    try:
        for block in read("whatever"):
            assert block.values.shape == (len(block), len(block.channels))
    except DataError:
        return


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:read", "ModuleNotFoundError"),
        (ME + "nothing", "AttributeError"),
        (ME + "not_callable", "is no function"),
        (":", "format: :"),
    ],
)
def test_what_cannot_be_imported_is_said_with_its_line(tmp_path: Path, name: str, says: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        "pipelines:\n  p:\n    window: {length: 1}\n    task: {classify: [a, b]}\n"
        f'    sources:\n      - {{topic: "x/{{device}}", format: "{name}", channels: {{t: t}}}}\n'
    )
    with pytest.raises(ConfigError, match=f"config.yml:6: .*{says}"):
        load(path)


def test_a_bound_holds_what_it_gives() -> None:
    told[:] = [(None, None, {"t": 1})] * MOST_ROWS
    (block,) = read("whatever")
    assert len(block) == MOST_ROWS
