"""A function of the user's as input."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from iot_stream.device.inputs import call
from iot_stream.device.inputs.kinds import Call
from iot_stream.device.inputs.left_out import LeftOut
from iot_stream.errors import ConfigError
from iot_stream.units import Duration

MODULE = """
calls = 0

def read():
    global calls
    calls += 1
    if calls == 2:
        raise RuntimeError("sensor asleep")
    if calls == 3:
        return None
    return {"x": calls, "y": 0, "time": 1772352000 + calls}

def all_of_them():
    for x in range(3):
        yield {"x": x}

def breaks():
    global calls
    calls += 1
    yield {"x": calls}
    raise OSError("unplugged")

nothing = 5
"""


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mysensor.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mysensor", None)


def rows(function: str, slept: list[float], left_out: LeftOut, every: str = "2 s") -> Iterator[float]:
    found = call.rows(
        Call(function=function, every=Duration.parse(every)), ("x", "y"), left_out, slept.append
    )
    return (float(values[0, 0]) for _, values in found)


def test_it_is_called_again_and_again_whatever_it_raises(slept: list[float]) -> None:
    left_out = LeftOut("mysensor:read")
    assert list(islice(rows("mysensor:read", slept, left_out), 3)) == [1.0, 4.0, 5.0]
    assert left_out.counts == {"RuntimeError": 1, "wrong_type": 1}
    # After what it raised it is left alone for longer; calls are two seconds apart, reading included.
    assert [round(pause) for pause in slept] == [2, 6, 8, 10]


def test_a_generator_ends_the_input_when_it_ends(slept: list[float]) -> None:
    assert list(rows("mysensor:all_of_them", slept, LeftOut("g"))) == [0.0, 1.0, 2.0]
    assert slept == []


def test_a_generator_that_breaks_is_begun_anew_after_a_growing_pause(slept: list[float]) -> None:
    left_out = LeftOut("g")
    assert list(islice(rows("mysensor:breaks", slept, left_out), 3)) == [1.0, 2.0, 3.0]
    assert left_out.counts == {"OSError": 2}


@pytest.mark.parametrize("name", ["mysensor:none", "nomodule:read", "mysensor", "mysensor:nothing"])
def test_what_cannot_be_called_is_said_at_once(name: str, slept: list[float]) -> None:
    with pytest.raises(ConfigError, match=f"input: {name}"):
        rows(name, slept, LeftOut("g"))
