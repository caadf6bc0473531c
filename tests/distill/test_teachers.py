"""Teachers that go on learning: from late labels, with what they were first taught replayed."""

import msgspec
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.svm import SVC

from iot_stream.config import Network
from iot_stream.config.learning import TrainSettings
from iot_stream.cut import Cut
from iot_stream.distill import teachers
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.errors import ModelError

torch.set_num_threads(1)

CUT = Cut(("x", "y"), ("x", "y"), length=1, hop=1)
SETTINGS = TrainSettings(steps=150, batch=32, rate=1e-2, tune_steps=200, tune_rate=3e-2, tune_share=0.5)
MLP = Network.parse({"arch": "mlp", "hidden": [32]})
SVM = Network.parse({"arch": "svc", "C": 3})
ALL = Network.parse(
    {
        "arch": "ensemble",
        "members": [{"arch": "mlp", "hidden": [32]}, {"arch": "svc", "C": 3}, {"arch": "lda"}],
    }
)


def blobs(number: int, seed: int, drifted: bool = False) -> Lessons:
    """Two blobs side by side; drifted, both further up and the classes changed over."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, number)
    middle = np.stack([2.0 * y - 1, np.full(number, 2.0 * drifted)], axis=1)
    points = middle + 0.3 * rng.standard_normal((number, 2))
    return Lessons(points[:, None, :].astype(np.float32), 1 - y if drifted else y)


def thirds(number: int, seed: int) -> Lessons:
    """Three blobs on a line."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, number)
    points = np.stack([2.0 * y, np.zeros(number)], axis=1) + 0.3 * rng.standard_normal((number, 2))
    return Lessons(points[:, None, :].astype(np.float32), y)


KNOWN, FRESH = blobs(300, 0), blobs(60, 1, drifted=True)


def taught(network: Network, lessons: Lessons = KNOWN, classes: tuple[str, ...] = ("a", "b")) -> Teacher:
    return teachers.train("the key", lessons, CUT, classes, False, network, SETTINGS, 0)[0]


@pytest.fixture(scope="module")
def net() -> Teacher:
    return taught(MLP)


@pytest.fixture(scope="module", params=[MLP, SVM, ALL], ids=lambda network: network.arch)
def teacher(request: pytest.FixtureRequest) -> tuple[Network, Teacher]:
    return request.param, taught(request.param)


def accuracy(teacher: Teacher, lessons: Lessons) -> float:
    return float((teacher.logits(lessons.x).argmax(axis=1) == lessons.y).mean())


def tuned(teacher: Teacher, seed: int = 0, **settings: object) -> Teacher:
    return teachers.tune(teacher, FRESH, KNOWN, msgspec.structs.replace(SETTINGS, **settings), seed)[0]


# --- any teacher --------------------------------------------------------------------------------


def test_it_learns_the_new_and_keeps_the_old(teacher: tuple[Network, Teacher]) -> None:
    _, before = teacher
    old, new = blobs(500, 2), blobs(500, 3, drifted=True)
    assert accuracy(before, old) > 0.95
    assert accuracy(before, new) < 0.6
    after = tuned(before)
    assert accuracy(after, new) > 0.9
    assert accuracy(after, old) > 0.9


def test_the_given_teacher_stays_as_it_was(teacher: tuple[Network, Teacher]) -> None:
    _, before = teacher
    kept = before.to_bytes()
    after = tuned(before)
    assert before.to_bytes() == kept
    assert after.to_bytes() != kept
    assert (after.key, after.spec) == (before.key, before.spec) == ("the key", before.spec)


def test_a_tuned_teacher_survives_its_bytes(teacher: tuple[Network, Teacher]) -> None:
    network, before = teacher
    after = tuned(before)
    again = teachers.from_bytes(after.key, after.to_bytes(), after.spec, network)
    np.testing.assert_array_equal(again.logits(FRESH.x), after.logits(FRESH.x))
    assert again.parameters == after.parameters > 0


def test_it_goes_on_without_anything_to_replay(teacher: tuple[Network, Teacher]) -> None:
    nothing = Lessons(KNOWN.x[:0], KNOWN.y[:0])
    alone, _ = teachers.tune(teacher[1], FRESH, nothing, SETTINGS, 0)
    assert accuracy(alone, FRESH) > 0.9


def test_windows_without_labels_teach_it_nothing(teacher: tuple[Network, Teacher]) -> None:
    unlabelled = Lessons(FRESH.x, np.full_like(FRESH.y, -1))
    after, cost = teachers.tune(teacher[1], unlabelled, KNOWN, SETTINGS, 0)
    assert after is teacher[1]
    assert cost.steps == 0


def test_windows_without_labels_are_left_out(teacher: tuple[Network, Teacher]) -> None:
    x, y = np.concatenate([FRESH.x, 100 + FRESH.x]), np.append(FRESH.y, np.full_like(FRESH.y, -1))
    after, _ = teachers.tune(teacher[1], Lessons(x, y), KNOWN, SETTINGS, 0)
    assert after.to_bytes() == tuned(teacher[1]).to_bytes()


def test_of_no_windows_it_says_nothing(teacher: tuple[Network, Teacher]) -> None:
    assert teacher[1].logits(KNOWN.x[:0]).shape == (0, 2)


# --- a network ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights(net: Teacher) -> None:
    assert tuned(net, 3).to_bytes() == tuned(net, 3).to_bytes() != tuned(net, 4).to_bytes()


def test_steps_and_share_are_those_of_tuning(net: Teacher) -> None:
    _, cost = teachers.tune(net, FRESH, KNOWN, msgspec.structs.replace(SETTINGS, tune_steps=7), 0)
    assert cost.steps == 7
    old = blobs(500, 2)
    alone = tuned(net, tune_share=1.0)
    assert accuracy(tuned(net), old) > accuracy(alone, old) + 0.1
    # With a share of one the old is never drawn, whatever it says.
    lies = Lessons(np.full_like(KNOWN.x, np.nan), KNOWN.y)
    whole = msgspec.structs.replace(SETTINGS, tune_share=1.0)
    assert teachers.tune(net, FRESH, lies, whole, 0)[0].to_bytes() == alone.to_bytes()


# --- estimators ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "oracle"),
    [
        (SVM, SVC(C=3)),
        (Network.parse({"arch": "lda"}), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    ],
    ids=["svc", "lda"],
)
@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")], ids=["two", "three"])
def test_an_estimator_says_what_scikit_learn_says(
    network: Network, oracle: SVC | LinearDiscriminantAnalysis, classes: tuple[str, ...]
) -> None:
    lessons, asked = (KNOWN, blobs(80, 7)) if len(classes) == 2 else (thirds(300, 5), thirds(80, 6))
    teacher = taught(network, lessons, classes)
    scaled = [teacher.spec.model_input(each.x).reshape(-1, 2) for each in (lessons, asked)]
    oracle.fit(scaled[0], lessons.y)
    logits = teacher.logits(asked.x)
    np.testing.assert_array_equal(logits.argmax(axis=1), oracle.predict(scaled[1]))
    decided = oracle.decision_function(scaled[1])
    ours = logits[:, 1] - logits[:, 0] if len(classes) == 2 else logits
    np.testing.assert_allclose(ours, decided, rtol=1e-4, atol=1e-4)


def test_late_labels_count_by_their_weight() -> None:
    svm = taught(SVM)
    weights = np.linspace(0.1, 4, len(FRESH.y))
    after, _ = teachers.tune(svm, Lessons(FRESH.x, FRESH.y, weights), KNOWN, SETTINGS, 0)
    rows = svm.spec.model_input(np.concatenate([KNOWN.x, FRESH.x])).reshape(-1, 2)
    oracle = SVC(C=3).fit(
        rows, np.concatenate([KNOWN.y, FRESH.y]), np.concatenate([np.ones(len(KNOWN.y)), weights])
    )
    logits = after.logits(FRESH.x)
    found = oracle.decision_function(rows[len(KNOWN.y) :])
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], found, rtol=1e-4, atol=1e-4)


# --- an ensemble --------------------------------------------------------------------------------


def test_an_ensemble_is_the_mean_of_its_members_probabilities() -> None:
    members = [taught(MLP), taught(SVM), taught(Network.parse({"arch": "lda"}))]
    each = np.stack([log_softmax(one.logits(FRESH.x).astype(np.float64), axis=1) for one in members])
    mean = logsumexp(each, axis=0) - np.log(3)
    found = taught(ALL)
    np.testing.assert_allclose(found.logits(FRESH.x), np.maximum(mean, np.log(1e-6)), atol=1e-4)
    assert found.parameters == sum(one.parameters for one in members)


def test_two_nets_alike_begin_differently() -> None:
    twins = taught(Network.parse({"arch": "ensemble", "members": [{"arch": "mlp"}, {"arch": "mlp"}]}))
    x = twins.spec.model_input(FRESH.x)
    assert not np.allclose(twins.members[0].logits(x), twins.members[1].logits(x))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"arch": "svm"}, "no teacher 'svm'; is svc meant"),
        ({"arch": "svc", "c": 1}, "teacher svc: .*'c'"),
        ({"arch": "svc", "C": -1}, "teacher svc: .*'C'"),
        ({"arch": "ensemble"}, "an ensemble is {arch: ensemble"),
        ({"arch": "ensemble", "members": []}, "an ensemble is {arch: ensemble"),
        ({"arch": "ensemble", "members": [{"arch": "lda"}], "hidden": [3]}, "an ensemble is {arch: ensemble"),
        (
            {"arch": "ensemble", "members": [{"arch": "ldaa"}]},
            "no teacher.members 'ldaa'; is lda meant",
        ),
        ({"arch": "ensemble", "members": ["lda"]}, "teacher.members: a model is {arch"),
        ({"arch": "ensemble", "members": [{"arch": "lda", "channels": ["x"]}]}, "channels are the teacher's"),
    ],
)
def test_settings_that_make_no_teacher_are_named(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        taught(Network.parse(settings))
