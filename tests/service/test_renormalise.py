"""A second candidate under the normalisation of the recent windows: taken where it is better, and whole."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import load
from iot_stream.device.health import Rules
from iot_stream.device.predicting import Predictor
from iot_stream.distill.material import Material
from iot_stream.distill.student import Packed
from iot_stream.service import learning, round, versions
from iot_stream.service.learning import Prepared
from iot_stream.spec import Spec
from iot_stream.store import Store
from tests.service.running import NAME, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(tmp_path_factory.mktemp("store"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def prepared(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Rounds of a single step: what they gain is the normalisation's doing."""
    distill = {"first_steps": 400, "steps": 1, "rate": 1e-4, "ema": 0, "renormalise": True}
    path = write_config(tmp_path_factory.mktemp("config"), "mqtt://localhost", "p", distill=distill)
    return learning.prepare(store.registry, NAME, load(path).pipelines[NAME], Path(), lambda *_: None)


def stream(prepared: Prepared, factor: float, offset: float, device: str = "d") -> Material:
    """The bootstrap once more, a second apart, on a scale of its own."""
    boot = prepared.learner.bootstrap
    boot = boot.rows(np.random.default_rng(0).permutation(len(boot)))
    ends = np.arange(len(boot)) * SECOND
    x = (boot.x * factor + offset).astype(np.float32)
    return Material(np.full(len(boot), device), ends, ends, x, boot.logits, np.full(len(boot), -1))


def a_round(prepared: Prepared, running: Packed, material: Material) -> round.Round:
    now = int(material.ends.max())
    return round.Round(prepared.learner, running, material, 0, now, 0, lambda *_: None)


def run(prepared: Prepared, running: Packed, material: Material) -> round.Result:
    return round.run(a_round(prepared, running, material), prepared.teacher)


def agreement(packed: Packed, material: Material) -> float:
    return float((packed.model().logits(material.x).argmax(axis=1) == material.said).mean())


@pytest.fixture(scope="module")
def stretched(prepared: Prepared) -> round.Result:
    return run(prepared, prepared.first, stream(prepared, 5, 40))


def test_where_inputs_have_stretched_the_renormalised_one_is_taken(
    prepared: Prepared, stretched: round.Result
) -> None:
    told = stretched.report["fusion"]["renormalised"]
    assert told["taken"]
    assert told["renormalised"] == f"passed: {stretched.verdict.reason}"
    assert told["ordinary"].split(":")[0] in ("passed", "rejected")
    moved = stream(prepared, 5, 40)
    assert agreement(prepared.first, moved) < 0.8
    assert agreement(stretched.candidate, moved) > 0.95 * agreement(prepared.first, stream(prepared, 1, 0))


def test_what_is_released_has_its_own_spec_and_passes_its_own_test(
    prepared: Prepared, stretched: round.Result
) -> None:
    before, now = (Spec.decode(each.spec) for each in (prepared.first, stretched.candidate))
    np.testing.assert_allclose(now.scale, 5 * np.array(before.scale), rtol=0.2)
    np.testing.assert_allclose(now.mean, 5 * np.array(before.mean) + 40, atol=0.5 * max(now.scale))
    assert now.cut == before.cut
    assert stretched.candidate.graph == prepared.first.graph
    stretched.candidate.model().self_test()


def test_a_device_goes_over_to_it_between_two_windows(prepared: Prepared, stretched: round.Result) -> None:
    cut = prepared.learner.architecture.spec.cut
    values = np.random.default_rng(0).normal(40, 5, (40, len(cut.channels))).astype(np.float32)
    times = np.arange(40) * SECOND
    predictor = Predictor(cut.channels, Rules())
    predictor.exchange(prepared.first.model(1))
    predictor.feed(times[:20], values[:20])
    model = stretched.candidate.model(2)
    predictor.exchange(model)
    said = predictor.feed(times[20:], values[20:])
    assert said is not None
    windows = [
        values[end - cut.length + 1 : end + 1] for end, _, _ in ((t // SECOND, *_) for t, *_ in said.windows)
    ]
    expected = model.logits(np.stack(windows)).argmax(axis=1)
    assert [cls for _, cls, _ in said.windows] == [model.spec.classes[k] for k in expected]


def test_the_next_round_goes_on_under_it(prepared: Prepared, stretched: round.Result) -> None:
    moved = stream(prepared, 5, 40)
    plain = without(prepared)
    following = run(plain, stretched.candidate, moved)
    assert following.report["fusion"]["renormalised"] is None
    assert following.candidate.spec == stretched.candidate.spec
    assert following.verdict.running == pytest.approx(stretched.verdict.candidate)
    assert abs(following.verdict.gain) < 0.05
    assert following.report["why"]["decision"] is not None


def without(prepared: Prepared) -> Prepared:
    pipeline = prepared.learner.pipeline
    distill = msgspec.structs.replace(pipeline.distill, renormalise=False)
    learner = dataclasses.replace(
        prepared.learner, pipeline=msgspec.structs.replace(pipeline, distill=distill)
    )
    return dataclasses.replace(prepared, learner=learner)


def test_where_it_gains_nothing_the_student_keeps_its_normalisation(prepared: Prepared) -> None:
    same = stream(prepared, 1, 0)
    result, plain = run(prepared, prepared.first, same), run(without(prepared), prepared.first, same)
    assert not result.report["fusion"]["renormalised"]["taken"]
    assert result.candidate.spec == plain.candidate.spec == prepared.first.spec
    x = same.x
    said, would_have_said = (each.candidate.model().logits(x) for each in (result, plain))
    np.testing.assert_allclose(said, would_have_said, atol=1e-3)


def test_with_few_recent_windows_there_is_no_second_candidate(prepared: Prepared) -> None:
    few = stream(prepared, 5, 40)
    few = few.rows(np.arange(prepared.learner.pipeline.gate.n_min - 1))
    assert run(prepared, prepared.first, few).report["fusion"]["renormalised"] is None


def test_cohorts_with_and_without_news_learn_in_one_stack(
    prepared: Prepared, stretched: round.Result
) -> None:
    materials = [stream(prepared, 5, 40), stream(prepared, 1, 0, "e")]
    rounds = [a_round(prepared, prepared.first, each) for each in materials]
    moved, same = round.together(rounds, prepared.teacher)
    assert isinstance(moved, round.Result)
    assert isinstance(same, round.Result)
    assert moved.report["fusion"]["renormalised"]["taken"]
    assert not same.report["fusion"]["renormalised"]["taken"]
    assert moved.candidate.spec == stretched.candidate.spec
    x = materials[0].x
    alone, together = (each.candidate.model().logits(x) for each in (stretched, moved))
    np.testing.assert_allclose(together, alone, atol=0.05)


def test_a_restart_trains_on_what_was_renormalised_and_not_on_another_bootstrap(
    store: Store, prepared: Prepared, stretched: round.Result
) -> None:
    learner, first = prepared.learner, prepared.first
    other = msgspec.structs.replace(
        learner.architecture.spec,
        mean=tuple(each + 1 for each in learner.architecture.spec.mean),
        golden=first.model().spec.golden_windows()[::-1].tobytes(),
    )
    told = {}
    for name, spec in (("renormalised", stretched.candidate.spec), ("other", other.encode())):
        packed = dataclasses.replace(first, spec=spec)
        with store.write() as tx:
            version = versions.add_version(store, tx, NAME, "all", "r", packed, {})
        told[name] = versions.another_form(store, version, learner)
    assert told["renormalised"] == ""
    assert "bootstrap" in told["other"]
