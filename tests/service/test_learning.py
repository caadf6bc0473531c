"""Before and within a round, without processes: what is trained once, and that a round can be repeated."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from iot_stream.clock import SECOND
from iot_stream.config import Network, Pipeline, load
from iot_stream.config.learning import DistillSettings, SearchSettings
from iot_stream.distill import checkpoints, export, student
from iot_stream.distill.material import Material
from iot_stream.errors import ConfigError, ModelError
from iot_stream.service import learning, round, stages, versions
from iot_stream.service.learning import Prepared
from iot_stream.store import Store
from tests.service.running import NAME, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return load(write_config(tmp_path_factory.mktemp("config"), "mqtt://localhost", "p")).pipelines[NAME]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(tmp_path_factory.mktemp("store"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def prepared(store: Store, pipeline: Pipeline) -> Prepared:
    return learning.prepare(store.registry, NAME, pipeline, Path(), lambda *_: None)


def _stream(prepared: Prepared) -> Material:
    """The bootstrap again, as if it had just come in, a second apart."""
    boot = prepared.everything
    ends = np.arange(len(boot)) * SECOND
    unlabelled = np.full(len(boot), -1)
    return Material(boot.devices, ends, ends, boot.x, boot.logits, unlabelled, boot.teacher_x)


def _round(prepared: Prepared, stream: Material, seed: int, say: round.Say = lambda *_: None) -> round.Result:
    now = int(stream.ends.max()) if len(stream) else 0
    return round.run(
        round.Round(prepared.learner, prepared.first, stream, 0, now, seed, say), prepared.teacher
    )


def test_the_teacher_is_trained_once_and_then_taken_from_the_registry(
    store: Store, pipeline: Pipeline, prepared: Prepared
) -> None:
    told: list[str] = []
    again = learning.prepare(store.registry, NAME, pipeline, Path(), lambda _, detail: told.append(detail))
    assert told == ["teacher taken from the registry"]
    assert again.teacher.key == prepared.teacher.key
    np.testing.assert_array_equal(again.everything.logits, prepared.everything.logits)
    assert again.first == prepared.first


def test_a_teacher_whose_training_was_cut_off_comes_out_as_if_it_had_not_been(
    tmp_path: Path, pipeline: Pipeline, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "Checkpoints", partial(checkpoints.Checkpoints, every_s=0.0))

    class Crash(Exception):
        pass

    def say(stage: str, detail: str) -> None:
        if detail.startswith("step 100 of 200"):
            raise Crash

    store = Store(tmp_path / "own")
    with pytest.raises(Crash):
        learning.prepare(store.registry, NAME, pipeline, Path(), say)
    store.close()
    store, told = Store(tmp_path / "own"), []
    again = learning.prepare(store.registry, NAME, pipeline, Path(), lambda _, detail: told.append(detail))
    steps = [each for each in told if each.startswith("step ")]
    assert steps[0].startswith("step 120 of 200")
    assert again.teacher.to_bytes() == prepared.teacher.to_bytes()
    assert again.first == prepared.first
    assert store.read("SELECT count(*) FROM checkpoints") == [(0,)]
    store.close()


def test_other_settings_make_another_teacher(store: Store, pipeline: Pipeline, prepared: Prepared) -> None:
    changed = msgspec.structs.replace(pipeline, seed=1)
    told: list[str] = []
    other = learning.prepare(store.registry, NAME, changed, Path(), lambda _, detail: told.append(detail))
    assert other.teacher.key != prepared.teacher.key
    assert any("teacher mlp on" in detail for detail in told)


def test_without_a_bootstrap_it_says_what_to_name(store: Store, pipeline: Pipeline) -> None:
    with pytest.raises(ConfigError, match=r"pipelines\.tiny\.recordings\.bootstrap: nothing to learn from"):
        learning.prepare(
            store.registry, NAME, msgspec.structs.replace(pipeline, recordings=None), Path(), lambda *_: None
        )


def test_static_all_is_the_same_architecture_on_all_that_the_teacher_saw(
    store: Store, prepared: Prepared
) -> None:
    rivals = learning.rivals(store.registry, prepared, lambda *_: None)
    static, everything = rivals["static"], rivals["static_all"]
    x = prepared.everything.x
    said = prepared.everything.said
    agreement = {name: (m.logits(x).argmax(axis=1) == said).mean() for name, m in rivals.items()}
    assert agreement["static_all"] > agreement["static"]
    assert static.spec == everything.spec


def test_a_round_with_the_same_seed_gives_the_same_bytes(prepared: Prepared) -> None:
    stream = _stream(prepared)
    results = [_round(prepared, stream, 3) for _ in range(2)]
    assert results[0].candidate == results[1].candidate
    other = _round(prepared, stream, 4)
    assert other.candidate.weights != results[0].candidate.weights


def test_a_round_reports_its_stages_and_judges_what_a_device_would_run(prepared: Prepared) -> None:
    stream = _stream(prepared)
    stages: list[str] = []
    result = _round(prepared, stream, 0, lambda s, _: stages.append(s))
    assert stages == ["sample", "distillation", "fusion"]
    assert {"sample", "distillation", "fusion", "gate", "cost"} <= result.report.keys()
    assert result.verdict.windows >= prepared.learner.pipeline.gate.n_min
    result.candidate.model().self_test()
    assert result.verdict.bytes == len(result.candidate.weights)


def test_a_round_tells_what_it_cost_and_what_the_cache_saved(prepared: Prepared) -> None:
    stream = _stream(prepared)
    settings = prepared.learner.pipeline.distill
    drawn = settings.steps * settings.batch
    cost = _round(prepared, stream, 0).report["cost"]
    assert cost["seconds"] >= cost["distill_seconds"] > 0
    assert cost["cpu_seconds"] > 0
    # Inputs 4 × 10, 6 hidden, 2 classes; two operations a weight; forward, and twice that back.
    assert cost["flops"] == 3 * 2 * (40 * 6 + 6 * 2) * drawn
    assert (cost["teacher_passes"], cost["teacher_passes_saved"]) == (0, drawn)


def test_hints_reach_a_round_and_cost_a_pass_over_its_sample(store: Store, pipeline: Pipeline) -> None:
    distill = msgspec.structs.replace(pipeline.distill, loss="hints", first_steps=30)
    hinting = msgspec.structs.replace(pipeline, distill=distill)
    ready = learning.prepare(store.registry, NAME, hinting, Path(), lambda *_: None)
    report = _round(ready, _stream(ready), 0).report
    assert report["distillation"]["losses"].keys() == {"soft", "kd", "hints"}
    sample = report["sample"]["recent"] + report["sample"]["reservoir"]
    assert report["cost"]["teacher_passes"] == sample
    assert report["cost"]["teacher_passes_saved"] == distill.steps * distill.batch - sample
    # 40 inputs, 32 hidden, 2 classes of the teacher; 40, 6, 2 of the student.
    student = 3 * 2 * (40 * 6 + 6 * 2) * distill.steps * distill.batch
    assert report["cost"]["flops"] == student + 2 * (40 * 32 + 32 * 2) * sample


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"distill": DistillSettings(loss="kdd")}, "is kd meant"),
        ({"distill": DistillSettings(loss_weights={"kdd": 1.0})}, "is kd meant"),
        ({"student": Network.parse({"arch": "mlp", "activate": "tanh"})}, "is activation meant"),
        ({"student": Network.parse({"arch": "mlp", "activation": "sine"})}, "cannot be built"),
    ],
)
def test_what_cannot_learn_is_said_before_the_teacher_is_trained(
    store: Store, pipeline: Pipeline, wrong: dict[str, object], message: str
) -> None:
    told: list[str] = []
    with pytest.raises(ModelError, match=message):
        learning.prepare(
            store.registry,
            NAME,
            msgspec.structs.replace(pipeline, **wrong),
            Path(),
            lambda _, detail: told.append(detail),
        )
    assert told == []


def test_a_start_from_what_is_kept_exports_nothing(
    store: Store, pipeline: Pipeline, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "graph", lambda *_: pytest.fail("it takes seconds"))
    monkeypatch.setattr(student, "_exported", {})
    again = learning.prepare(store.registry, NAME, pipeline, Path(), lambda *_: None)
    assert again.learner.architecture == prepared.learner.architecture


def test_a_round_without_a_single_window_is_held(prepared: Prepared) -> None:
    nothing = _stream(prepared).rows(np.zeros(len(prepared.everything), bool))
    result = _round(prepared, nothing, 0)
    assert result.verdict.outcome == "held"


def test_a_round_on_one_class_alone_is_held_and_says_so(prepared: Prepared) -> None:
    stream = _stream(prepared)
    result = _round(prepared, stream.rows(stream.said == stream.said[0]), 0)
    assert result.verdict.outcome == "held"
    assert "one class" in result.verdict.reason


def _with(prepared: Prepared, distill: dict[str, object], **gate: float) -> Prepared:
    learner, replaced = prepared.learner, msgspec.structs.replace
    pipeline = replaced(
        learner.pipeline,
        distill=replaced(learner.pipeline.distill, **distill),
        gate=replaced(learner.pipeline.gate, **gate),
    )
    return dataclasses.replace(prepared, learner=dataclasses.replace(learner, pipeline=pipeline))


def test_a_round_that_searches_reports_every_trial_and_repeats_itself(prepared: Prepared) -> None:
    searching = _with(prepared, {"search": SearchSettings(candidates=4, steps=40, keep=2)})
    told: list[str] = []
    results = [_round(searching, _stream(prepared), 3, lambda *said: told.append(said[0])) for _ in range(2)]
    trials = results[0].report["fusion"]["search"]
    assert [trial["rung"] for trial in trials] == [0] * 4 + [1] * 2
    assert sum(trial["steps"] for trial in trials) <= 40
    assert told[:4] == ["sample", "fusion", "distillation", "fusion"]
    assert results[0].candidate == results[1].candidate


def test_a_search_among_windows_of_one_class_is_left_out_and_says_so(prepared: Prepared) -> None:
    searching = _with(prepared, {"search": SearchSettings()})
    stream, told = _stream(prepared), []
    one = stream.rows(stream.said == stream.said[0])
    result = _round(searching, one, 0, lambda stage, detail: told.append((stage, detail)))
    assert result.report["fusion"]["search"] == []
    assert ("fusion", "no search: hardly more than one class among the newest windows") in told


def test_a_round_averages_with_the_students_of_the_past(prepared: Prepared) -> None:
    learner, stream = prepared.learner, _stream(prepared)
    past = [prepared.first.resume]
    alone, together = (
        round.run(
            round.Round(learner, prepared.first, stream, 0, int(stream.ends.max()), 0, lambda *_: None, each),
            prepared.teacher,
        ).candidate
        for each in ((), past)
    )
    weights, mean, first = (safetensors.numpy.load(each) for each in (alone.resume, together.resume, *past))
    for name in weights:
        np.testing.assert_allclose(mean[name], (weights[name] + first[name]) / 2, rtol=1e-5, atol=1e-6)


def test_a_teacher_that_got_worse_by_its_labels_stays_as_it_was(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunes = {"train": {"steps": 200, "tune_steps": 20}, "gate": {"n_min": 10, "labels": 0.3, "delta": 0.9}}
    pipeline = load(write_config(tmp_path, "mqtt://localhost", "p", **tunes)).pipelines[NAME]
    prepared = learning.prepare(store.registry, NAME, pipeline, Path(), lambda *_: None)
    stream = _stream(prepared)
    stream = dataclasses.replace(stream, labels=stream.said.copy())
    kept = _round(prepared, stream, 0)
    assert kept.report["training"]["gate"]["outcome"] == "passed"
    assert kept.teacher is not prepared.teacher
    original = stages.teachers.tune

    def spoilt(*arguments):
        tuned, cost = original(*arguments)
        return dataclasses.replace(tuned, members=(_Contrary(tuned.members[0]),)), cost

    monkeypatch.setattr(stages.teachers, "tune", spoilt)
    told: list[str] = []
    result = _round(prepared, stream, 0, lambda stage, detail: told.append(f"{stage}: {detail}"))
    assert result.report["training"]["gate"]["outcome"] == "rejected"
    assert result.teacher is prepared.teacher
    assert any(each.startswith("training: teacher rejected: -") for each in told)


@dataclasses.dataclass(frozen=True)
class _Contrary:
    """Says the opposite of another."""

    member: Any

    def logits(self, x: np.ndarray) -> np.ndarray:
        return -self.member.logits(x)


def test_a_second_set_of_old_regimes_judges_too(prepared: Prepared) -> None:
    result = _round(_with(prepared, {}, old_drop=1.0), _stream(prepared), 0)
    assert result.verdict.old["windows"] >= prepared.learner.pipeline.gate.n_min


def test_a_version_of_other_classes_or_channels_is_not_trained_on(
    store: Store, pipeline: Pipeline, prepared: Prepared
) -> None:
    with store.write() as tx:
        version = versions.add_version(
            store, tx, NAME, "all", "r", prepared.first, {"network": repr(pipeline.student)}
        )
    learner = prepared.learner
    assert versions.another_form(store, version, learner) == ""
    spec = learner.architecture.spec
    classes = tuple(f"other {name}" for name in spec.classes)
    renamed = dataclasses.replace(
        learner,
        architecture=dataclasses.replace(
            learner.architecture, spec=msgspec.structs.replace(spec, classes=classes)
        ),
    )
    assert "the classes are now other" in versions.another_form(store, version, renamed)
    other = msgspec.structs.replace(
        pipeline, student=Network("mlp", options=(("activation", "relu"), ("hidden", [5])))
    )
    assert "network" in versions.another_form(store, version, dataclasses.replace(learner, pipeline=other))
