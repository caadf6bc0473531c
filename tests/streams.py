"""Streams of readings for property tests: uneven times, gaps, missing values."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from iot_stream.readings import Times, Values

START = 1_424_357_000_000_000_000

STEPS = st.sampled_from([0, 1, 3, 7, 10, 10, 10, 10, 25, 60, 400])
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.75, 0.1, 1e-7, 1e6, -40.2, float("nan"), float("inf")])


@st.composite
def streams(draw: st.DrawFn, channels: int, most: int = 60) -> tuple[Times, Values]:
    """Times (n,) ns, not decreasing, in units of one millisecond; values (n, channels) float32."""
    steps = draw(st.lists(STEPS, min_size=1, max_size=most))
    times = START + draw(st.integers(0, 40)) * 1_000_000 + np.cumsum(steps, dtype=np.int64) * 1_000_000
    values = draw(arrays.arrays(np.float32, (len(steps), channels), elements=VALUES.map(np.float32)))
    return times, values


def pieces(draw: st.DrawFn, count: int) -> list[slice]:
    """A way to cut `count` readings into messages."""
    cuts = sorted(draw(st.sets(st.integers(0, count), max_size=8)) | {0, count})
    return [slice(a, b) for a, b in pairwise(cuts)]
