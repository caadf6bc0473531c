"""Each loss against its formula (oracles.py) and against values computed by hand."""

import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iot_stream.distill import losses
from tests.distill.losses import oracles

LOGITS = arrays(np.float64, (5, 3), elements=st.floats(-15, 15))
RIGHT = arrays(np.int64, 5, elements=st.integers(0, 2))
TEMPERATURES = st.floats(0.5, 10)
FEW = settings(max_examples=30)
FILES = ["binary", "decoupled", "dist", "hints", "kd", "logit_mse", "standardised"]


def value(name: str, *arguments: Any) -> float:
    loss = getattr(losses, name)
    given = [torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in arguments]
    return float(loss(*given))


@FEW
@given(LOGITS, LOGITS, TEMPERATURES)
def test_kd_logit_mse_and_binary(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    for name in ("kd", "logit_mse", "binary"):
        expected = getattr(oracles, name)(student, teacher, temperature)
        assert value(name, student, teacher, temperature) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@FEW
@given(LOGITS, LOGITS, RIGHT, TEMPERATURES)
def test_decoupled(student: np.ndarray, teacher: np.ndarray, right: np.ndarray, temperature: float) -> None:
    at = student, teacher, right, temperature
    of_right, others = oracles.right_class(*at), oracles.other_classes(*at)
    assert value("right_class", *at) == pytest.approx(of_right, rel=1e-6, abs=1e-8)
    assert value("other_classes", *at) == pytest.approx(others, rel=1e-6, abs=1e-8)
    assert value("decoupled", *at) == pytest.approx(of_right + 8 * others, rel=1e-6, abs=1e-7)


@FEW
@given(LOGITS, LOGITS, RIGHT, TEMPERATURES)
def test_decoupled_parts_are_those_of_kd(
    student: np.ndarray, teacher: np.ndarray, right: np.ndarray, temperature: float
) -> None:
    """KD = TCKD + (1 − p(right)) · NCKD, row by row."""
    for row in range(len(student)):
        at = student[row : row + 1], teacher[row : row + 1], right[row : row + 1], temperature
        rest = 1 - oracles.softmax(teacher[row] / temperature)[right[row]]
        expected = value("right_class", *at) + rest * value("other_classes", *at)
        assert value("kd", *at[:2], temperature) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@FEW
@given(st.integers(0, 2**32), st.floats(0.1, 10), TEMPERATURES)
def test_dist_standardised_and_hints(seed: int, size: float, temperature: float) -> None:
    """Of logits that are never all alike, where correlation and deviation have no value."""
    student, teacher = np.random.default_rng(seed).normal(0, size, (2, 5, 3))
    at = student, teacher, temperature
    between, within = oracles.between_classes(*at), oracles.within_classes(*at)
    assert value("between_classes", *at) == pytest.approx(between, rel=1e-6, abs=1e-7)
    assert value("within_classes", *at) == pytest.approx(within, rel=1e-6, abs=1e-7)
    assert value("dist", *at) == pytest.approx(between + within, rel=1e-6, abs=1e-7)
    assert value("standardised", *at) == pytest.approx(oracles.standardised(*at), rel=1e-6, abs=1e-8)
    assert value("hints", student, teacher) == pytest.approx(oracles.hints(student, teacher), rel=1e-9)


# --- by hand ------------------------------------------------------------------------------------


def test_decoupled_by_hand() -> None:
    # P = softmax(3, 1, 0): p(right) = 20.0855 / 23.8038 = 0.843795; Q = (⅓, ⅓, ⅓).
    # TCKD = 0.843795 ln 2.531385 + 0.156205 ln 0.234308 = 0.557016
    # NCKD: softmax(1, 0) = (0.731059, 0.268941) against (½, ½): 0.110944
    at = np.zeros((1, 3)), np.array([[3.0, 1.0, 0.0]]), np.array([0]), 1.0
    assert value("right_class", *at) == pytest.approx(0.557016, abs=1e-6)
    assert value("other_classes", *at) == pytest.approx(0.110944, abs=1e-6)


def test_dist_by_hand() -> None:
    # Of two classes the correlation is ±1: the first row agrees, the second is the other way round.
    student, teacher = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 1.0]])
    assert value("between_classes", student, teacher, 3.0) == pytest.approx(9 * (0 + 2) / 2)
    # The student says the same of both rows, the teacher does not: no correlation.
    assert value("within_classes", student, teacher, 3.0) == pytest.approx(9)


def test_standardised_by_hand() -> None:
    # (0, 2) has mean 1 and deviation 1, so z = (−1, 1) whatever its size; the student's is (1, −1).
    # KL of (σ(−2), σ(2)) and (σ(2), σ(−2)) = (σ(2) − σ(−2)) · 2 · 2/2 = 0.761594 · 2
    assert value("standardised", np.array([[5.0, 4.0]]), np.array([[0.0, 2.0]]), 1.0) == pytest.approx(
        2 * np.tanh(1.0)
    )


def test_binary_by_hand() -> None:
    # ln 2-wise: σ(0) = ½ and σ(ln 3) = ¾: KL = ½ ln(½ / ¾) + ½ ln(½ / ¼) = ½ ln(4/3); two classes of them.
    student, teacher = np.full((1, 2), np.log(3)), np.zeros((1, 2))
    assert value("binary", student, teacher, 1.0) == pytest.approx(np.log(4 / 3))


def test_two_classes_as_one_question() -> None:
    """KD of the logits (z, 0) is binary KD of z."""
    student, teacher = np.random.default_rng(0).normal(0, 2, (2, 6, 1))
    two = [np.concatenate([each, np.zeros((6, 1))], axis=1) for each in (student, teacher)]
    assert value("binary", student, teacher, 2.0) == pytest.approx(value("kd", *two, 2.0))


def test_kd_at_a_high_temperature_is_the_distance_of_centred_logits() -> None:
    """Hinton et al., section 2.1."""
    student, teacher = np.random.default_rng(0).normal(0, 2, (2, 6, 4))
    centred = [each - each.mean(axis=1, keepdims=True) for each in (student, teacher)]
    assert value("kd", student, teacher, 1e4) == pytest.approx(value("logit_mse", *centred) / 4, rel=1e-3)


def test_the_regressor_begins_at_the_least_squares_solution() -> None:
    generator = np.random.default_rng(0)
    narrow, wide = generator.normal(size=(50, 3)), generator.normal(size=(50, 7))
    narrow[:, 2] = 0  # a dead unit: the solution is not unique, the prediction is
    basis = np.concatenate([narrow, np.ones((50, 1))], axis=1)
    expected = basis @ np.linalg.pinv(basis) @ wide
    linear = losses.regressor(torch.from_numpy(narrow).float(), torch.from_numpy(wide).float())
    found = linear(torch.from_numpy(narrow).float()).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_the_documented_example_is_true(name: str) -> None:
    module = importlib.import_module(f"iot_stream.distill.losses.{name}")
    result = doctest.testmod(module, extraglobs={"torch": torch})
    assert result.attempted >= 1
    assert result.failed == 0


def test_the_example_of_the_docs_runs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "losses.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/losses.md", "exec"), {})


def test_the_docs_name_every_loss_and_part() -> None:
    page = (Path(__file__).parents[3] / "docs" / "losses.md").read_text()
    for name in losses.SOFT.names():
        assert f"| `{name}` |" in page
        for part, weight in losses.SOFT.get(name).weights.items():
            assert part == name or f"`{part}` ({weight:g})" in page
