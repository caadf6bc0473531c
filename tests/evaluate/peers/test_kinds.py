"""Every peer against plain use of the library that it comes from, on a piece of a real stream."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from iot_stream.errors import ConfigError
from iot_stream.evaluate.peers import moa, neighbours, online, prequential, refitted, run
from iot_stream.evaluate.peers.peer import Shape
from iot_stream.evaluate.report import RIVALS

PART = Path(__file__).parents[3] / "examples" / "gas_drift" / "data" / "part.csv.gz"
FIRST, LATE, EVERY, SEED = 200, 30, 50, 3

java = pytest.mark.skipif(bool(moa.KINDS["moa_arf"].absent()), reason="no CapyMOA or no Java here")

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def gas() -> Data:
    """400 rows of 16 features, scaled by the first half; their classes from 0 on."""
    with gzip.open(PART, "rt") as lines:
        head = next(lines).rstrip().split(",")
        rows = [dict(zip(head, line.rstrip().split(","), strict=True)) for line in lines]
    picked = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[: 2 * FIRST].tolist()]
    names = [f"s{sensor:02d}_f{feature}" for sensor in range(8) for feature in (0, 3)]
    x = np.log1p(np.abs(np.array([[float(row[name]) for name in names] for row in picked])))
    _, y = np.unique([row["gas"] for row in picked], return_inverse=True)
    return (x - x[:FIRST].mean(axis=0)) / x[:FIRST].std(axis=0), y.astype(np.int64)


def ours(name: str, gas: Data, **settings: Any) -> np.ndarray:
    """What the peer says of the second half; labels come `LATE` rows late, rounds every `EVERY` rows."""
    x, y = gas
    kind = run.KINDS[name]
    peer = kind.make(Shape(x.shape[1], int(y.max()) + 1, SEED), kind.grid[0] | settings)
    peer.learn(x[:FIRST], y[:FIRST])
    rows = np.arange(len(x) - FIRST)
    acts = rows + LATE
    if kind.refreshed == "round":
        acts = np.ceil(acts / EVERY).astype(np.int64) * EVERY
    said = prequential.said(peer, x[FIRST:], rows, rows, y[FIRST:], acts)
    assert all(number > 0 for number in peer.size().values())
    assert peer.size() or name == "moa_srp"
    return said


def fitted_anew(gas: Data, new: Callable[[], Any]) -> np.ndarray:
    """A plain loop: at each round fit on what is known by then, tell what follows until the next."""
    x, y = gas
    count, found = len(x) - FIRST, []
    # A round at row r acts on the rows after it; row i's label is there at i + LATE.
    for begin, end in pairwise([0, *range(EVERY + 1, count, EVERY), count]):
        labelled = FIRST + max(0, begin - LATE)
        found.append(new().fit(x[:labelled], y[:labelled]).predict(x[FIRST + begin : FIRST + end]))
    return np.concatenate(found)


def one_by_one(gas: Data, learn: Callable[[np.ndarray, int], Any], tell: Callable[[np.ndarray], Any]) -> Any:
    """A plain loop: learn the bootstrap, then tell each row and learn the one `LATE` rows before."""
    x, y = gas
    for row, k in zip(x[:FIRST], y[:FIRST].tolist(), strict=True):
        learn(row, k)
    found = []
    for i in range(FIRST, len(x)):
        if i - LATE - 1 >= FIRST:
            learn(x[i - LATE - 1], int(y[i - LATE - 1]))
        found.append(tell(x[i]))
    return np.array(found)


def test_lda_is_scikit_learns(gas: Data) -> None:
    plain = fitted_anew(gas, lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    np.testing.assert_array_equal(ours("lda", gas), plain)


def test_svc_is_scikit_learns(gas: Data) -> None:
    np.testing.assert_array_equal(
        ours("svc", gas, C=100.0, gamma=0.1), fitted_anew(gas, lambda: SVC(C=100.0, gamma=0.1))
    )


@pytest.mark.slow
def test_extra_trees_are_scikit_learns(gas: Data) -> None:
    plain = fitted_anew(gas, lambda: ExtraTreesClassifier(100, random_state=SEED, min_samples_leaf=1))
    np.testing.assert_array_equal(ours("extra_trees", gas), plain)


def test_knn_is_scikit_learns_on_the_newest(gas: Data) -> None:
    held: list[tuple[np.ndarray, int]] = []

    def tell(row: np.ndarray) -> int:
        newest = held[-120:]
        x, y = np.array([each for each, _ in newest]), [k for _, k in newest]
        return int(KNeighborsClassifier(3, algorithm="brute").fit(x, y).predict(row[None])[0])

    plain = one_by_one(gas, lambda row, k: held.append((row, k)), tell)
    np.testing.assert_array_equal(ours("knn", gas, k=3, window=120), plain)


def river(gas: Data, model: Any) -> np.ndarray:
    return one_by_one(
        gas,
        lambda row, k: model.learn_one(dict(enumerate(row.tolist())), k),
        lambda row: model.predict_one(dict(enumerate(row.tolist()))),
    )


@pytest.mark.slow
def test_stream_learners_are_rivers(gas: Data) -> None:
    pytest.importorskip("river")
    from river.forest import ARFClassifier
    from river.linear_model import SoftmaxRegression
    from river.optim import SGD
    from river.preprocessing import StandardScaler
    from river.tree import HoeffdingAdaptiveTreeClassifier

    for name, model in (
        ("arf", ARFClassifier(n_models=10, seed=SEED, grace_period=50)),
        ("hat", HoeffdingAdaptiveTreeClassifier(seed=SEED, grace_period=200)),
        ("softmax", StandardScaler() | SoftmaxRegression(SGD(0.01))),
    ):
        np.testing.assert_array_equal(ours(name, gas), river(gas, model), name)


@java
@pytest.mark.slow
def test_moas_are_capymoas(gas: Data) -> None:
    from capymoa.classifier import AdaptiveRandomForestClassifier, StreamingRandomPatches
    from capymoa.core import Instance, LabeledInstance
    from capymoa.stream import Schema

    names, classes = [f"x{i}" for i in range(16)], [str(k) for k in range(int(gas[1].max()) + 1)]
    schema = Schema.from_custom([*names, "y"], target="y", categories={"y": classes})
    for name, new in (("moa_arf", AdaptiveRandomForestClassifier), ("moa_srp", StreamingRandomPatches)):
        model = new(schema, ensemble_size=10, max_features=0.6, random_seed=SEED + 1)
        plain = one_by_one(
            gas,
            lambda row, k, model=model: model.train(LabeledInstance.from_array(schema, row, k)),
            lambda row, model=model: model.predict(Instance.from_array(schema, row)),
        )
        np.testing.assert_array_equal(ours(name, gas), plain, name)


@pytest.mark.slow
def test_a_forest_is_the_same_in_every_process() -> None:
    pytest.importorskip("river")
    code = (
        "import numpy as np; from iot_stream.evaluate.peers.online import KINDS;"
        "from iot_stream.evaluate.peers.peer import Shape;"
        "rng = np.random.default_rng(0); y = rng.integers(0, 3, 300);"
        "x = rng.normal(size=(300, 12)) + y[:, None];"
        "peer = KINDS['arf'].make(Shape(12, 3, 5), {'grace_period': 20}); peer.learn(x[:200], y[:200]);"
        "print(peer.predict(x[200:]).tolist(), peer.size())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_where_one_class_is_known_it_is_what_is_said() -> None:
    for name in refitted.KINDS:
        kind = refitted.KINDS[name]
        peer = kind.make(Shape(2, 3, 0), kind.grid[0])
        peer.learn(np.zeros((4, 2)), np.full(4, 2))
        assert peer.predict(np.ones((3, 2))).tolist() == [2, 2, 2]
        assert peer.size() == {"parameters": 1}


def test_the_size_of_a_discriminant_is_its_coefficients(gas: Data) -> None:
    kind = refitted.KINDS["lda"]
    peer = kind.make(Shape(16, 6, 0), kind.grid[0])
    peer.learn(*gas)
    assert peer.size() == {"parameters": (16 + 1) * len(np.unique(gas[1]))}


def test_every_peer_is_known_to_the_report() -> None:
    assert len(run.KINDS) == 9
    assert set(run.KINDS) < set(RIVALS)


def test_what_is_missing_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"river is not installed: pip install 'iot-stream\[peers\]'"):
        run.check()


def test_without_java_moas_are_not_run_and_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moa, "find_spec", lambda _name: object())
    monkeypatch.setattr(moa.shutil, "which", lambda _name: None)
    for home in ("", "/nowhere/at/all"):
        monkeypatch.setenv("JAVA_HOME", home)
        assert run.absent().keys() == moa.KINDS.keys()
        assert all("no JVM" in reason for reason in run.absent().values())
    run.check()
    monkeypatch.setattr(moa, "find_spec", lambda _name: None)
    assert all("pip install capymoa" in reason for reason in run.absent().values())


def test_neighbours_forget() -> None:
    peer = neighbours.Neighbours(1, 2)
    peer.learn(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 2]))
    assert peer.predict(np.array([[0.0]])).tolist() == [1]
    assert peer.size() == {"parameters": 4}
