"""Versions as the page shows them, and two of them side by side."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from iot_stream.artifact import encodings
from iot_stream.cut import Cut
from iot_stream.errors import ConfigError
from iot_stream.spec import Spec
from iot_stream.store import Store
from iot_stream.store.registry import Version
from iot_stream.store.rollouts import ABORTED, RUNNING, Rollout
from iot_stream.watch.dashboard.views import models
from iot_stream.watch.dashboard.views.comparing import Difference, differences, distances
from iot_stream.watch.dashboard.views.models import Line, Models, Pair, View, Whole
from tests.service.running import NAME
from tests.watch.stores import SECOND, join

GRAPH = b"a graph"
WEIGHTS = np.array([[3.0, 0.0], [0.0, 4.0]], np.float32)


def spec(length: int) -> Spec:
    golden = np.zeros((2, length, 1), np.float32).tobytes()
    return Spec(Cut(("a",), ("a",), length, length), ("good", "worn"), (0.0,), (1.0,), golden=golden)


def add(
    store: Store,
    number: int,
    weights: np.ndarray[Any, Any],
    *,
    length: int = 4,
    cohort: str = "all",
    **told: Any,
) -> bytes:
    """The weights as they were encoded."""
    content = encodings.encode("fp16", {"w": weights, "b": np.ones(2, np.float32)})
    put = store.registry.put_artifact
    with store.write() as tx:
        store.registry.add_version(
            tx,
            Version(
                NAME, cohort, number, f"r{number}", number * SECOND, put(tx, GRAPH),
                put(tx, spec(length).encode()), put(tx, content), "fp16", "resume", told,
            ),
        )  # fmt: skip
    return content


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def listed(store: Store, **query: str) -> Models:
    found = View(store, NAME).view(query)
    assert isinstance(found, Models)
    return found


def test_a_store_without_versions_has_an_empty_list(store: Store) -> None:
    assert listed(store).versions == []


def test_versions_are_listed_with_sizes_devices_and_state(store: Store) -> None:
    first = add(store, 1, WEIGHTS, gate={"reason": "first version"})
    with store.write() as tx:
        delta = store.registry.put_artifact(tx, b"delta")
    add(store, 2, 2 * WEIGHTS, trigger="drift", delta={"artifact": delta, "base": "b"})
    store.registry.save_release(NAME, "all", "stable", 1, b"bundle")
    with store.write() as tx:
        store.rollouts.save(tx, NAME, Rollout("all", 2, ABORTED, 0, 0, 0), "someone", "called off", "worse")
    join(store, "a", 1)
    join(store, "b", 1)
    two, one = listed(store).versions
    assert (one.version, one.made, one.devices, one.state) == (1, 1, 2, "stable")
    assert one.sizes == {"graph": len(GRAPH), "spec": len(spec(4).encode()), "weights": len(first)}
    assert one.origin.gate.reason == "first version"
    assert (two.state, two.devices, two.sizes["delta"], two.origin.trigger) == ("aborted", 0, 5, "drift")


def test_a_version_waits_for_its_turn_or_is_passed_over(store: Store) -> None:
    for number in range(1, 7):
        add(store, number, WEIGHTS)
    assert {each.state for each in listed(store).versions} == {"waiting"}
    for number in (1, 3):
        store.registry.save_release(NAME, "all", "stable", number, b"bundle")
    with store.write() as tx:
        store.rollouts.save(tx, NAME, Rollout("all", 5, RUNNING, 0, 0, 0), "x", "to 10 %", "y")
    told = {each.version: each.state for each in listed(store).versions}
    assert told == {1: "done", 2: "passed over", 3: "stable", 4: "passed over", 5: "running", 6: "waiting"}


def test_a_long_list_comes_in_pages(store: Store) -> None:
    for number in range(1, models.PAGE + 3):
        add(store, number, WEIGHTS, cohort="ab"[number % 2])
    first = listed(store)
    assert (len(first.versions), first.older, first.cohorts) == (models.PAGE, True, ["a", "b"])
    assert [each.version for each in listed(store, before=str(first.versions[-1].made)).versions] == [2, 1]
    assert {each.cohort for each in listed(store, cohort="b").versions} == {"b"}


def test_one_version_comes_with_provenance_spec_and_files(store: Store) -> None:
    content = add(store, 3, WEIGHTS, gate={"reason": "good"}, cost={"seconds": 2})
    found = View(store, NAME).view({"version": "3"})
    assert isinstance(found, Whole)
    assert msgspec.json.decode(found.provenance) == {"gate": {"reason": "good"}, "cost": {"seconds": 2}}
    assert found.spec["cut"]["length"] == 4
    assert "golden" not in found.spec
    assert (found.tensors, found.parameters) == ({"w": (2, 2), "b": (2,)}, 6)
    graph, _, weights = found.files
    assert (graph.name, graph.path) == (f"{NAME}-all-3-graph.onnx", "models/all/3/graph")
    assert (weights.bytes, weights.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_what_is_downloaded_is_what_devices_get(store: Store) -> None:
    content = add(store, 3, WEIGHTS, cohort="north")
    view = View(store, NAME)
    assert view.file("weights", "north", 3) == (
        f"{NAME}-north-3-weights.safetensors", "application/octet-stream", content,
    )  # fmt: skip
    assert Spec.decode(view.file("spec", "north", 3)[2]) == spec(4)
    with pytest.raises(ConfigError, match="no file 'keys'"):
        view.file("keys", "north", 3)
    with pytest.raises(ConfigError, match="has no version 3"):
        view.file("graph", "all", 3)


def test_two_versions_are_compared(store: Store) -> None:
    add(store, 1, WEIGHTS, gate={"candidate": 0.8})
    add(store, 2, WEIGHTS + np.array([[0, 0.5], [0, 0]], np.float32), length=8, gate={"candidate": 0.9})
    found = View(store, NAME).view({"version": "1", "beside": "2"})
    assert isinstance(found, Pair)
    lines: tuple[Line, Line] = found.versions
    assert [each.origin.gate.candidate for each in lines] == [0.8, 0.9]
    assert found.spec == [Difference("cut.length", "4", "8"), Difference("cut.hop", "4", "8")]
    assert found.graph
    assert found.weights is not None
    assert found.apart is not None
    told = {each.tensor: each for each in found.weights}
    assert told["b"].apart == 0
    assert told["w"].apart == pytest.approx(0.5 / 5, rel=1e-3)
    assert told["w"].most == pytest.approx(0.5, rel=1e-3)
    assert 0 < found.apart.apart < told["w"].apart


def test_versions_of_other_forms_have_no_distance(store: Store) -> None:
    add(store, 1, WEIGHTS)
    add(store, 2, np.ones((3, 2), np.float32), cohort="north")
    found = View(store, NAME).view({"version": "1", "beside": "2", "of": "north"})
    assert isinstance(found, Pair)
    assert found.weights is None
    assert found.apart is None


def test_distances_of_nothing_but_zeros_are_numbers() -> None:
    zeros, ones = {"w": np.zeros(3, np.float32)}, {"w": np.ones(3, np.float32)}
    assert [each.apart for each in distances(zeros, zeros) or []] == [0, 0]
    assert [each.apart for each in distances(zeros, ones) or []] == [1, 1]
    same = distances(ones, ones)
    assert same is not None
    assert same[0].cosine == pytest.approx(1)


def test_a_place_that_only_one_has_is_a_difference() -> None:
    one = {"a": 1, "derive": [{"name": "x"}], "inputs": ["p", "q"]}
    other = {"a": 1, "derive": [{"name": "x"}, {"name": "y"}], "inputs": ["p"]}
    assert differences(one, other) == [
        Difference("inputs", '["p","q"]', '["p"]'),
        Difference("derive[1].name", "—", '"y"'),
    ]
