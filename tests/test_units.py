"""Durations and rates as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.errors import ConfigError
from iot_stream.units import Duration, Rate


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1 ns", 1),
        ("20 us", 20_000),
        ("20 µs", 20_000),
        ("500 ms", 500_000_000),
        ("0.1s", 100_000_000),
        (" 10 s ", 10_000_000_000),
        ("30 min", 1_800_000_000_000),
        ("2 hours", 7_200_000_000_000),
        ("1 day", 86_400_000_000_000),
        ("2 weeks", 1_209_600_000_000_000),
        ("0 s", 0),
    ],
)
def test_duration_is_read_in_its_unit(text: str, nanoseconds: int) -> None:
    assert Duration.parse(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "period"),
    [("50/s", 20_000_000), ("1/min", 60_000_000_000), ("4 / h", 900_000_000_000), ("12.8 kHz", 78_125)],
)
def test_rate_is_the_period_between_readings(text: str, period: int) -> None:
    assert Rate.parse(text) == period


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 m", "5 parsecs", "-1 s", "1 2 s", "nan s", 5, None, True, [1]]
)
def test_what_is_no_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match="write a number and a unit"):
        Duration.parse(text)


@pytest.mark.parametrize("text", ["", "0/s", "0 Hz", "1 s", "5/fortnight", "2000000 MHz", "1/0", 50, None])
def test_what_is_no_rate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match="write 50/s"):
        Rate.parse(text)


@given(st.text() | st.from_regex(r"[0-9.]{1,6} ?[a-zµ/]{1,4}", fullmatch=True))
def test_any_text_is_a_quantity_or_a_config_error(text: str) -> None:
    for kind in (Duration, Rate):
        try:
            assert kind.parse(text) >= 0
        except ConfigError as error:
            message = str(error)
        else:
            continue
        assert repr(text) in message
