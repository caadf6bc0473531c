"""Told first, learnt later: what may have been learnt when a window is told."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.evaluate.peers import prequential


class Counting:
    """Says of each row how many it has learnt by then, and keeps what it was taught together."""

    def __init__(self) -> None:
        self.taught: list[list[int]] = []

    def learn(self, x: np.ndarray, y: np.ndarray) -> None:
        assert x[:, 0].astype(int).tolist() == y.tolist()
        self.taught.append(y.tolist())

    def predict(self, x: np.ndarray) -> np.ndarray:
        assert len(x)
        return np.full(len(x), sum(map(len, self.taught)))

    def size(self) -> dict[str, int]:
        return {"parameters": 0}


@given(
    st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 15)), min_size=1, max_size=60),
)
def test_a_window_is_told_with_the_lessons_that_act_before_its_end(
    windows: list[tuple[int, int | None]],
) -> None:
    ends = np.array([end for end, _ in windows])
    lessons = sorted((end + late, row) for row, (end, late) in enumerate(windows) if late is not None)
    acts, rows = (np.array([each[i] for each in lessons], np.int64) for i in (0, 1))
    x = np.arange(len(windows), dtype=float)[:, None]
    peer = Counting()
    said = prequential.said(peer, x, ends, rows, rows, acts)
    assert said.tolist() == [int((acts < end).sum()) for end in ends]
    # Those of one moment come together, in their order; those after the last end never.
    taught = [row for group in peer.taught for row in group]
    assert taught == rows[: len(taught)].tolist()
    assert len({acts[rows.tolist().index(group[0])] for group in peer.taught}) == len(peer.taught)


def test_nothing_to_learn_leaves_the_first_word() -> None:
    nothing = np.zeros(0, np.int64)
    said = prequential.said(Counting(), np.zeros((3, 1)), np.arange(3), nothing, nothing, nothing)
    assert said.tolist() == [0, 0, 0]
