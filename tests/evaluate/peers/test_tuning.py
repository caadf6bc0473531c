"""Settings and the form of the inputs are chosen by the bootstrap's own later half."""

import numpy as np

from iot_stream.evaluate.peers import features, tuning
from iot_stream.evaluate.peers.bounds import evenly, most_rows
from iot_stream.evaluate.peers.neighbours import KINDS
from iot_stream.evaluate.peers.peer import Kind, Shape, grid

SHAPE = Shape(1, 2, 0)


class Saying:
    """The same class always; it counts how often it learns."""

    taught = 0

    def __init__(self, k: int) -> None:
        self._k = k

    def learn(self, x: np.ndarray, y: np.ndarray) -> None:
        Saying.taught += 1

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self._k)

    def size(self) -> dict[str, int]:
        return {}


def saying(refreshed: str) -> Kind:
    return Kind(refreshed, grid(k=(0, 1)), lambda _shape, settings: Saying(**settings))  # type: ignore[arg-type]


def test_the_later_half_decides() -> None:
    x, y = np.zeros((10, 1)), np.array([0] * 5 + [1] * 5)
    assert tuning.choose(saying("label"), x, y, SHAPE) == {"k": 1}
    assert tuning.choose(saying("label"), x, np.array([1] * 5 + [0] * 5), SHAPE) == {"k": 0}
    assert tuning.choose(saying("label"), x[:6], np.array([0, 0, 0, 0, 1, 2]), SHAPE) == {"k": 0}  # of equals


def test_a_peer_of_rounds_is_fitted_a_few_times_and_one_of_labels_with_each() -> None:
    x, y = np.zeros((40, 1)), np.zeros(40, np.int64)
    for refreshed, lessons in (("round", 1 + tuning.PIECES - 1), ("label", 1 + 19)):
        Saying.taught = 0
        assert tuning.accuracy(saying(refreshed), {"k": 0}, x, y, SHAPE) == 1.0
        assert Saying.taught == lessons  # the last has nobody left to tell


def test_of_neighbours_the_number_that_fits_is_found() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    noisy = rng.normal(size=(400, 1)) + y[:, None]
    assert tuning.choose(KINDS["knn"], noisy, y, SHAPE)["k"] == 5
    # Seldom seen places, each told once before: one neighbour knows them, five do not.
    places = np.arange(100) % 50
    rare = places[:, None].astype(float)
    assert tuning.choose(KINDS["knn"], rare, places % 2, SHAPE)["k"] == 1


def test_a_grid_is_all_combinations() -> None:
    assert grid(a=(1, 2), b=("x", "y")) == (
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    )


def test_rows_are_bounded_evenly() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(9, 3).tolist() == [0, 4, 8]
    assert [most_rows(each) for each in (1, 128, 512, 10**7)] == [10_000, 7_812, 1_953, 1]


def test_the_spectrum_knows_no_phase() -> None:
    t = np.arange(64)
    waves = np.stack([np.sin(2 * np.pi * 4 * t / 64 + phase) for phase in (0.0, 1.0)])[:, :, None]
    told = features.spectrum(waves.astype(np.float32))
    assert told.shape == (2, 33)
    assert told.argmax(axis=1).tolist() == [4, 4]
    np.testing.assert_allclose(told[0], told[1], atol=1e-5)
    np.testing.assert_allclose(told[0, 4], np.log1p(32), atol=1e-5)
