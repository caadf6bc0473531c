"""A part of the recordings laid out in time: what it holds, what follows what; or a world in their place."""

from dataclasses import replace

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import Recordings, Select
from iot_stream.errors import ConfigError
from iot_stream.recordings import RECORDING_EPOCH, Recording, select
from iot_stream.service.bootstrap import from_world
from iot_stream.units import Rate


def settings(**changes: object) -> Recordings:
    return Recordings(**{"pace": Rate.parse("1/s")} | changes)


def part(device: str, load: str, count: int) -> Recording:
    times = RECORDING_EPOCH + SECOND * np.arange(count)
    nothing = np.zeros((count, 1), np.float32)
    return Recording(device, ("x",), times, nothing, np.zeros(count, np.int64), {"load": load})


def laid_out(recordings: list[Recording], **changes: object) -> dict[tuple[str, str], tuple[int, int]]:
    """Device and load → first and last second."""
    placed = select(recordings, Select(), settings(**changes))
    for recording in placed:
        assert (np.diff(recording.times) == SECOND).all()
    seconds = [(r.times[[0, -1]] - RECORDING_EPOCH) // SECOND for r in placed]
    return {(r.device, r.fields["load"]): tuple(s.tolist()) for r, s in zip(placed, seconds, strict=True)}


def test_recordings_of_a_device_follow_by_number_side_by_side_over_devices() -> None:
    """However long each is: nobody begins with a load before all are done with the one before."""
    recordings = [part("a", "10", 5), part("a", "2", 3), part("b", "10", 4), part("b", "2", 30)]
    placed = laid_out(recordings, order="load")
    assert placed["a", "2"] == (0, 2)
    assert placed["b", "2"] == (0, 29)
    begin = placed["a", "10"][0]
    assert begin == placed["b", "10"][0]
    assert begin - placed["b", "2"][1] > 10  # longer than the default gap of a window


def test_without_an_order_each_device_follows_itself_in_the_order_of_the_files() -> None:
    placed = laid_out([part("a", "10", 5), part("b", "2", 30), part("a", "2", 3)])
    assert placed["a", "10"][0] == placed["b", "2"][0] == 0
    assert 10 < placed["a", "2"][0] - placed["a", "10"][1] < 20


def test_an_order_that_no_name_has_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"recordings\.order: no field 'speed'; there are load"):
        laid_out([part("a", "1", 3)], order="speed")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"load": 2}, [("a", "2")]),
        ({"load": ("2", 3)}, [("a", "2"), ("b", "3")]),
    ],
)
def test_where_takes_one_value_or_several(where: dict[str, object], found: list[tuple[str, str]]) -> None:
    recordings = [part("a", "1", 3), part("a", "2", 3), part("b", "3", 3)]
    chosen = select(recordings, Select(where=where), settings())
    assert [(r.device, r.fields["load"]) for r in chosen] == found


def test_what_no_recording_has_cannot_choose_nor_tell_apart() -> None:
    with pytest.raises(ConfigError, match=r"where: no recording has 'speed'; there are load"):
        select([part("a", "1", 3)], Select(where={"speed": 1}), settings())
    with pytest.raises(ConfigError, match=r"segments: no recording has 'batch'; there are load"):
        select([part("a", "1", 3)], Select(), settings(segments="batch"))


def test_segments_are_days_columns_or_fields() -> None:
    midnight = 86_400 * SECOND
    recording = replace(
        part("a", "3", 2),
        times=np.array([midnight - 1, midnight]),
        columns={"kind": np.array(["x", "y"])},
    )
    assert recording.segments("day").tolist() == ["1970-01-01", "1970-01-02"]
    assert recording.segments("kind").tolist() == ["x", "y"]
    assert recording.segments("load").tolist() == ["3", "3"]
    assert recording.segments("").tolist() == ["", ""]


# --- a world


@pytest.mark.parametrize("name", ["features", "bearing"])
def test_a_world_is_a_recording_of_each_machine_in_one_regime_after_the_other(name: str) -> None:
    chosen = Select(regimes=("commissioned", "heavy"), machines=(3, 5), bursts=4)
    found = from_world(Recordings(world=name, segments="regime"), 7, chosen)
    assert [(r.device, r.fields["regime"]) for r in found] == [
        (f"machine-0{i}", regime) for regime in ("commissioned", "heavy") for i in (3, 4)
    ]
    for first, second in ((found[0], found[2]), (found[1], found[3])):
        times = np.concatenate([first.times, second.times])
        assert (np.diff(times) > 0).all()
        assert first.times[0] == RECORDING_EPOCH
        assert set(first.segments("regime")) == {"commissioned"}
        assert first.values.shape == (len(first.times), len(first.channels))
        assert not np.array_equal(first.values, second.values)
    again = from_world(Recordings(world=name), 7, chosen)
    np.testing.assert_array_equal(again[3].values, found[3].values)
    assert not np.array_equal(from_world(Recordings(world=name), 8, chosen)[3].values, found[3].values)
