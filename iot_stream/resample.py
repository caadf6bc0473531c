"""Each channel between its own readings: linear resampling of what may come apart."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Times

Rows = NDArray[np.float64]


def interpolated(
    points: Times, times: Times, rows: Rows, patience: int, *, closed: bool
) -> tuple[Rows, int, int]:
    """Values (n, channels) at the n first of `points`, n itself, and the index of the first reading that
    later points need. Readings: times (m,) in order, rows (m, channels), NaN where a channel is missing; none
    of the points is beyond them.

    A channel is interpolated between its readings on either side, if these are no more than `patience` ns
    apart, else it is missing. A point has to wait while a channel's next reading may still come, unless the
    readings are `closed`.
    """
    known_at = ~np.isnan(rows)
    if known_at.all():  # readings farther apart than `patience` are in segments of their own
        return _whole(points, times, rows), len(points), len(times) - 1
    values = np.full((len(points), rows.shape[1]), np.nan)
    sides = []
    sure = len(points)
    for known, columns in _together(known_at):
        own = times[known]
        after = np.searchsorted(own, points, side="right")
        last, following = np.maximum(after - 1, 0), np.minimum(after, len(own) - 1)
        begun, exact = after > 0, own[last] == points
        span = own[following] - own[last]
        between = begun & (after < len(own)) & (span <= patience)
        waits = begun & ~exact & (after == len(own)) & (times[-1] - own[last] <= patience)
        if waits.any() and not closed:
            sure = min(sure, int(waits.argmax()))
        said = rows[known][:, columns]
        share = np.where(exact, 0.0, (points - own[last]) / np.maximum(span, 1))
        found = said[last] + share[:, None] * (said[following] - said[last])
        good = (begun & exact) | between
        values[np.ix_(good, columns)] = found[good]
        sides.append(own)
    bound = points[sure] if sure < len(points) else times[-1]
    return values[:sure], sure, _needed(times, sides, bound, patience)


def _whole(points: Times, times: Times, rows: Rows) -> Rows:
    """Where nothing is missing: most of the time, and some times as fast."""
    last = np.searchsorted(times, points, side="right") - 1
    following = np.minimum(last + 1, len(times) - 1)
    share = (points - times[last]) / np.maximum(times[following] - times[last], 1)
    return np.asarray(rows[last] + share[:, None] * (rows[following] - rows[last]), np.float64)


def _together(known: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
    """Channels that are known at the same readings, with these; those that are never known are left out."""
    if known.all():
        yield known[:, 0], list(range(known.shape[1]))
        return
    groups: dict[bytes, list[int]] = {}
    for column in range(known.shape[1]):
        groups.setdefault(known[:, column].tobytes(), []).append(column)
    for columns in groups.values():
        if known[:, columns[0]].any():
            yield known[:, columns[0]], columns


def _needed(times: Times, sides: list[Times], bound: np.int64, patience: int) -> int:
    """The first reading that an interval over `bound` may begin with; `sides`: times of each channel."""
    begins = [own[np.searchsorted(own, bound, side="right") - 1] for own in sides if own[0] <= bound]
    return int(np.searchsorted(times, min([bound, *(each for each in begins if bound - each <= patience)])))
