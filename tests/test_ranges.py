"""Many channels in one line: which names a range stands for, and where it stands for nothing."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import load
from iot_stream.config.ranges import expanded
from iot_stream.errors import ConfigError

CONFIG = """\
pipelines:
  nose:
    window: {length: 1, required: ["s[0-1]"]}
    task: {classify: [ethanol, acetone]}
    sources: [{channels: {"s[0-2]": "s[0-2]"}}]
    derive:
      "l[0-2]": "log1p(s[0-2])"
    student: {arch: mlp, channels: ["l[0-2]"]}
    teacher: {arch: mlp, channels: ["s[0-2]", "l[0-2]"]}
    recordings:
      channels: {"s[0-2]": "s[0-2]_f0"}
"""


def spelled(block: Any) -> Any:
    return expanded(block, {})


def test_zeros_before_the_first_number_are_kept() -> None:
    names = spelled({"required": ["s[00-15]"]})["required"]
    assert names == [f"s{number:02d}" for number in range(16)]
    assert spelled({"required": ["[8-11]"]})["required"] == ["8", "9", "10", "11"]


def test_both_sides_of_a_mapping_count_together() -> None:
    assert spelled({"channels": {"s[00-01]_f[0-1]": "x[00-01].f[0-1]", "t": "temp"}})["channels"] == {
        "s00_f0": "x00.f0",
        "s00_f1": "x00.f1",
        "s01_f0": "x01.f0",
        "s01_f1": "x01.f1",
        "t": "temp",
    }
    assert spelled({"derive": {"l[1-2]": "log(s[1-2])"}})["derive"] == {"l1": "log(s1)", "l2": "log(s2)"}
    assert spelled({"channels": {"s[3-3]": "x[3-3]"}})["channels"] == {"s3": "x3"}


def test_brackets_elsewhere_stand_for_themselves() -> None:
    block = {
        "match": "(?P<load>[0-3])_[5-9]",
        "values": {"load": {"[0-1]": "low"}},
        "sources": [{"topic": "a[0-1]/{device}", "channels": {"x": "$.a[0]", "y": "$.b[0-1]"}}],
        "stream": {"where": {"part": ["B[0-1]"]}},
        "seed": 3,
    }
    assert spelled(block) == block


@given(st.integers(0, 400), st.integers(0, 40), st.integers(1, 5))
def test_a_range_is_counted_from_first_to_last(first: int, more: int, width: int) -> None:
    names = spelled({"required": [f"a[{first:0{width}d}-{first + more}]b"]})["required"]
    assert [int(name[1:-1]) for name in names] == list(range(first, first + more + 1))
    assert all(len(name) - 2 >= width for name in names)


@given(st.text("s[]0123456789- ", max_size=12))
def test_any_name_is_spelled_out_or_refused_by_its_name(text: str) -> None:
    try:
        names = spelled({"required": [text]})["required"]
    except ConfigError as error:
        message = str(error)
    else:
        assert (names == [text]) == (not re.search(r"\[\d+-\d+\]", text))
        return
    assert repr(text) in message


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"channels": {"s[0-3]": "x"}}, "'s[0-3]': 'x' must have the same [a-b]"),
        ({"channels": {"s[0-3]": "x[0-4]"}}, "'s[0-3]': 'x[0-4]' must have the same"),
        ({"channels": {"s[0-3]": None}}, "'s[0-3]': None must have the same"),
        ({"channels": {"s[00-03]": "x[0-3]"}}, "'s[00-03]': 'x[0-3]' must have the same"),
        ({"derive": {"s[3-0]": "log(x[3-0])"}}, "[3-0] does not count up"),
        ({"required": ["s[0-100000]"]}, "'s[0-100000]': [0-100000] does not count up, or beyond"),
        ({"channels": {"s[0-3]": "x[0-3]", "s2": "y"}}, "'s2': s2 is there already"),
    ],
)
def test_a_range_that_means_nothing_is_refused_by_its_name(block: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spelled(block)
    assert message in str(error.value)


def test_a_configuration_with_ranges_loads(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    pipeline = load(path).pipelines["nose"]
    cut = pipeline.cut(pipeline.student)
    assert (cut.channels, cut.inputs, cut.required) == (("s0", "s1", "s2"), ("l0", "l1", "l2"), ("s0", "s1"))
    assert pipeline.cut(pipeline.teacher).inputs == ("s0", "s1", "s2", "l0", "l1", "l2")
    assert pipeline.recordings is not None
    assert pipeline.recordings.channels == {"s0": "s0_f0", "s1": "s1_f0", "s2": "s2_f0"}


@pytest.mark.parametrize(
    ("right", "wrong", "place"),
    [
        ('"log1p(s[0-2])"', '"log1p(s[0-3])"', "7: pipelines.nose.derive: 'l[0-2]': "),
        ('"log1p(s[0-2])"', '"log2p(s[0-2])"', "7: pipelines.nose.derive.l0: no function 'log2p'"),
        ('"s[0-2]_f0"', '"s[0-2]_f[0-1]"', "11: pipelines.nose.recordings.channels: 's[0-2]': "),
        ('"s[0-1]"]', '"s[2-1]"]', "3: pipelines.nose.window.required: 's[2-1]': "),
        ('"s[0-1]"]', '"s[0-1]",\n 7]', "4: pipelines.nose.window.required.2: must be text"),
        ('"l[0-2]"]}\n    t', '"l[0-3]"]}\n    t', "8: pipelines.nose.student.channels: no source"),
    ],
)
def test_an_error_in_a_range_names_its_line(tmp_path: Path, right: str, wrong: str, place: str) -> None:
    assert CONFIG.count(right) == 1
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.replace(right, wrong))
    with pytest.raises(ConfigError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}:{place}")
