"""Support vectors with a kernel of our own say what scikit-learn says with its own."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.svm import SVC

from iot_stream.distill.teachers.member import Lessons
from iot_stream.distill.teachers.support import SupportVectors
from iot_stream.errors import ModelError


def rows(classes: int, seed: int) -> Lessons:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, 150)
    return Lessons((2.0 * y[:, None] + rng.normal(size=(150, 4))).astype(np.float32), y)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_says_what_scikit_learn_says(classes: int) -> None:
    lessons, asked = rows(classes, 0), rows(classes, 1).x.astype(np.float64)
    oracle = SVC(C=3, gamma="scale").fit(lessons.x.astype(np.float64), lessons.y)
    ours = SupportVectors.fitted(lessons, 3)
    decided = oracle.decision_function(asked)
    decided = decided if classes > 2 else np.stack([-decided, decided], axis=1) / 2
    np.testing.assert_allclose(ours.probabilities(asked, classes), softmax(decided, axis=1), atol=1e-3)
    assert ours.parameters == oracle.support_vectors_.size + oracle.dual_coef_.size


def test_a_class_that_it_was_never_shown_is_impossible() -> None:
    lessons = rows(2, 0)
    said = SupportVectors.fitted(Lessons(lessons.x, 2 * lessons.y), 3).probabilities(
        lessons.x.astype(np.float64), 4
    )
    assert (said[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(said.sum(axis=1), 1)


def test_one_class_alone_is_named_as_the_fault() -> None:
    lessons = rows(2, 0)
    with pytest.raises(ModelError, match="teacher drift: The number of classes"):
        SupportVectors.fitted(Lessons(lessons.x, np.zeros_like(lessons.y)), 3)
