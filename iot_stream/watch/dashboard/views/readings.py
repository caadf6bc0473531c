"""Readings as a plot wants them: one axis of time, a line a channel, no more points than can be seen."""

from collections.abc import Iterable

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.readings import Block, Times, Values

POINTS = 1200


class Lines(msgspec.Struct):
    """`times` in seconds since 1970, rising; `values` of each channel, None where it is missing. `readings`:
    how many there are; of more than the points, each span of time shows the least and the greatest."""

    times: list[float]
    values: dict[str, list[float | None]]
    readings: int


def lines(blocks: Iterable[Block], since: int, until: int) -> Lines:
    """Of those between two times (ns)."""
    blocks = list(blocks)
    names = list(dict.fromkeys(name for block in blocks for name in block.channels))
    times = np.concatenate([block.times for block in blocks] or [np.zeros(0, np.int64)])
    values = np.full((len(times), len(names)), np.nan, np.float32)
    row = 0
    for block in blocks:
        rows = slice(row, row + len(block.times))
        values[rows, [names.index(name) for name in block.channels]] = block.values
        row = rows.stop
    inside = (times >= since) & (times <= until)
    times, values = times[inside], values[inside]
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    count = len(times)
    if count > POINTS:
        times, values = _envelope(times, values, POINTS // 2)
    columns = np.round(values.astype(np.float64), _digits(values))
    return Lines(
        np.round(times / SECOND, 6).tolist(),
        {
            name: [None if value != value else value for value in columns[:, i].tolist()]
            for i, name in enumerate(names)
        },
        count,
    )


def _envelope(times: Times, values: Values, spans: int) -> tuple[Times, Values]:
    """Two rows for each span of equally many readings: the least of each channel, and the greatest."""
    edges = np.linspace(0, len(times), spans + 1).astype(np.int64)
    begins, ends = edges[:-1], edges[1:] - 1
    least = np.fmin.reduceat(values, begins)
    most = np.fmax.reduceat(values, begins)
    return (
        np.stack([times[begins], times[ends]], 1).reshape(-1),
        np.stack([least, most], 1).reshape(-1, values.shape[1]),
    )


def _digits(values: Values) -> int:
    """So many decimals that five figures are left of the largest value."""
    largest = float(np.nanmax(np.abs(values), initial=0)) if np.isfinite(values).any() else 0.0
    return max(0, 5 - int(np.floor(np.log10(largest or 1))) - 1)
