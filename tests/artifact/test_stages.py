"""Who is in a stage: the same devices for everyone who asks, growing from stage to stage."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.artifact.stages import EVERYBODY, Audience, share
from iot_stream.errors import Refused

FLEET = [f"machine-{i:04d}" for i in range(4000)]


def test_the_share_is_the_first_four_bytes_of_the_hash() -> None:
    digest = hashlib.sha256(b"pump-01" + b"12").hexdigest()
    assert share("pump-01", 12) == int(digest[:8], 16) / 4294967296


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_a_stage_has_about_its_share_of_the_fleet(percent: float) -> None:
    chosen = sum(Audience(percent).has(device, 3) for device in FLEET)
    assert chosen / len(FLEET) == pytest.approx(percent / 100, abs=0.02)


@given(st.floats(0, 100), st.floats(0, 100), st.integers(1, 1000))
def test_who_is_in_a_stage_is_in_every_later_one(a: float, b: float, version: int) -> None:
    low, high = sorted((a, b))
    early = {device for device in FLEET[:200] if Audience(low).has(device, version)}
    assert early <= {device for device in FLEET[:200] if Audience(high).has(device, version)}


def test_another_version_takes_others_first() -> None:
    chosen = [{device for device in FLEET if Audience(10).has(device, version)} for version in (7, 8)]
    assert len(chosen[0] & chosen[1]) < 0.03 * len(FLEET)


def test_devices_that_are_named_are_first_or_last() -> None:
    audience = Audience(1, first=("bench",), never=("critical",))
    assert all(audience.has("bench", version) for version in range(100))
    assert not any(Audience(99.9, never=("critical",)).has("critical", version) for version in range(100))
    assert not Audience(0, first=("bench",)).has("bench", 1)  # called off for all
    assert EVERYBODY.has("critical", 1)


@given(
    st.floats(0, 99).map(lambda percent: float(f"{percent:g}")),
    st.lists(st.text(min_size=1), max_size=3).map(tuple),
    st.lists(st.text(min_size=1), max_size=3).map(tuple),
)
def test_what_is_signed_is_what_is_read(
    percent: float, first: tuple[str, ...], never: tuple[str, ...]
) -> None:
    audience = Audience(percent, first, never)
    assert Audience.read(audience.signed_fields()) == audience


def test_nothing_is_signed_for_everybody() -> None:
    assert EVERYBODY.signed_fields() == {}
    assert Audience.read({"version": "3"}) == EVERYBODY


@pytest.mark.parametrize(
    "custom", [{"percent": "many"}, {"percent": "nan"}, {"percent": "-1"}, {"percent": "101"}, {"first": "x"}]
)
def test_what_makes_no_sense_is_refused(custom: dict[str, str]) -> None:
    with pytest.raises(Refused, match="malformed"):
        Audience.read(custom)
