"""Durations, delays and rates as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.errors import ConfigError
from iot_stream.units import Delay, Duration, Rate, Size, Spending


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


@pytest.mark.parametrize(
    ("text", "size"), [("20 GB", 20 * 10**9), ("64KiB", 65_536), ("1.5 MB", 1_500_000), ("7 b", 7)]
)
def test_size_is_read_in_its_unit(text: str, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "20", "20 G", "-1 GB", "9e9 GB", "9999999 TB", 20, None])
def test_what_is_no_size_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match="write a number and a unit: 500 MB"):
        Size.parse(text)


@pytest.mark.parametrize("text", ["", "0/s", "0 Hz", "1 s", "5/fortnight", "2000000 MHz", "1/0", 50, None])
def test_what_is_no_rate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match="write 50/s"):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("30 s", (30 * 10**9, 0, False)),
        ("2 days", (172_800 * 10**9, 0, False)),
        ("100 readings", (0, 100, False)),
        (" 1 reading ", (0, 1, False)),
        ("0 readings", (0, 0, False)),
        ("segment", (0, 0, True)),
    ],
)
def test_delay_is_a_time_a_number_of_readings_or_a_segment(text: str, delay: tuple[int, int, bool]) -> None:
    parsed = Delay.parse(text)
    assert (int(parsed), parsed.readings, parsed.segment) == delay


@pytest.mark.parametrize(
    "text", ["", "100", "readings", "-1 readings", "1.5 readings", "segments", 0, None, True]
)
def test_what_is_no_delay_is_refused_with_examples(text: object) -> None:
    with pytest.raises(ConfigError, match=r"not a duration: .*10 s.*; or 100 readings, or segment"):
        Delay.parse(text)


@given(st.integers(0, 10**6), st.sampled_from(["s", "readings"]))
def test_a_delay_says_what_it_is(number: int, unit: str) -> None:
    said = repr(Delay.parse(f"{number} {unit}"))
    assert Delay.parse(said) == Delay.parse(f"{number} {unit}")
    assert Delay.parse(said).readings == (number if unit == "readings" else 0)
    assert repr(Delay.parse("segment")) == "segment"


@given(st.text() | st.from_regex(r"[0-9.]{1,6} ?[a-zµ/]{1,4}", fullmatch=True))
def test_any_text_is_a_quantity_or_a_config_error(text: str) -> None:
    for kind in (Duration, Delay, Rate):
        try:
            assert kind.parse(text) >= 0
        except ConfigError as error:
            message = str(error)
        else:
            continue
        assert repr(text) in message


@pytest.mark.parametrize(("text", "an_hour"), [("60 s/h", 60.0), ("5 min/day", 12.5), ("0.5 s / s", 1800.0)])
def test_spending_is_a_time_in_a_time(text: str, an_hour: float) -> None:
    spending = Spending.parse(text)
    assert spending.in_an_hour == pytest.approx(an_hour)
    assert spending.in_time(1_800_000_000_000) == pytest.approx(an_hour / 2)


@pytest.mark.parametrize("text", ["60 s", "60/h", "60 s/parsec", "0 s/h", "s/h", "", 60, None])
def test_what_is_no_spending_says_how_it_is_written(text: object) -> None:
    with pytest.raises(ConfigError, match="write 60 s/h or 5 min/day"):
        Spending.parse(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("90 s", "90 s"),
        ("120 s", "2 min"),
        ("1 week", "7 days"),
        ("24 h", "1 day"),
        ("1.5 h", "90 min"),
        ("5 ns", "5 ns"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(text: str, written: str) -> None:
    assert Duration.parse(text).written() == written


@given(st.integers(0, 2**62))
def test_what_is_written_is_read_as_the_same_duration(nanoseconds: int) -> None:
    assert Duration.parse(Duration(nanoseconds).written()) == pytest.approx(nanoseconds, rel=1e-12)
