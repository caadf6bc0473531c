from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses import combined, cross_entropy, kd

LOGITS = arrays(np.float64, (5, 3), elements=st.floats(-20, 20))
TEMPERATURES = st.floats(0.5, 10)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def kd_by_numpy(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    log_p, log_q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return float(temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def test_kd_hand_computed() -> None:
    # P = softmax(2, 0) = (0.880797, 0.119203), Q = (0.5, 0.5):
    # KL = 0.880797 ln 1.761594 + 0.119203 ln 0.238406
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    assert kd(student, teacher, temperature=1.0).item() == pytest.approx(0.327813, abs=1e-6)
    # T = 2: P = softmax(1, 0) = (0.731059, 0.268941); KL = 0.110944 and T² = 4
    assert kd(student, teacher, temperature=2.0).item() == pytest.approx(0.443776, abs=1e-6)
    # A second row that agrees halves the mean over the batch.
    agreeing = torch.cat([student, teacher]), torch.cat([teacher, teacher])
    assert kd(*agreeing, temperature=1.0).item() == pytest.approx(0.327813 / 2, abs=1e-6)


@given(LOGITS, LOGITS, TEMPERATURES)
def test_kd_agrees_with_numpy(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    ours = kd(torch.from_numpy(student), torch.from_numpy(teacher), temperature).item()
    assert ours == pytest.approx(kd_by_numpy(student, teacher, temperature), rel=1e-9, abs=1e-9)


def arguments_swapped(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return kd(teacher, student, temperature)


def log_missing(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    q, p = F.softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    return F.kl_div(q, p, reduction="batchmean") * temperature**2


def mean_over_elements(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    q, p = F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    return F.kl_div(q, p, reduction="none").mean() * temperature**2


def temperature_of_the_teacher_alone(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    q, p = F.log_softmax(student, 1), F.softmax(teacher / temperature, 1)
    return F.kl_div(q, p, reduction="batchmean") * temperature**2


def factor_forgotten(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return kd(student, teacher, temperature) / temperature**2


MISTAKES = [
    arguments_swapped,
    log_missing,
    mean_over_elements,
    temperature_of_the_teacher_alone,
    factor_forgotten,
]


@pytest.mark.parametrize("mistaken", MISTAKES)
def test_the_oracle_tells_frequent_mistakes(mistaken: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    generator = np.random.default_rng(0)
    student, teacher = generator.normal(0, 2, (2, 8, 3))
    oracle = kd_by_numpy(student, teacher, 3.0)
    right = kd(torch.from_numpy(student), torch.from_numpy(teacher), 3.0).item()
    wrong = mistaken(torch.from_numpy(student), torch.from_numpy(teacher), 3.0).item()
    assert right == pytest.approx(oracle, rel=1e-9)
    assert abs(wrong - oracle) > 0.05 * oracle


def test_kd_gradient_numerically() -> None:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: kd(logits, teacher, 4.0), student)


def test_kd_gives_the_teacher_no_gradient() -> None:
    student, teacher = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    kd(student, teacher, 2.0).backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kd_at_extreme_logits(dtype: torch.dtype) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 3e4]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [0.0, 0.0, 3e4]], dtype=dtype)
    loss = kd(student, teacher, 1.0)
    loss.backward()
    # Row one is as wrong as can be: KL = 2e4 (to the precision of the logits); row two agrees.
    assert loss.item() == pytest.approx(1e4, rel=1e-2)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_kd_in_bf16_is_as_good_as_its_logits() -> None:
    generator = torch.Generator().manual_seed(2)
    student, teacher = (torch.randn(64, 4, generator=generator).bfloat16() for _ in range(2))
    oracle = kd_by_numpy(student.double().numpy(), teacher.double().numpy(), 4.0)
    assert kd(student, teacher, 4.0).item() == pytest.approx(oracle, rel=1e-5)


def test_cross_entropy_hand_computed() -> None:
    # −log softmax(2, 0)[0] = 0.126928, −log softmax(0, 0)[1] = 0.693147
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [9.0, 9.0]])
    assert cross_entropy(logits, torch.tensor([0, 1, -1])).item() == pytest.approx(0.410038, abs=1e-6)


@given(LOGITS, arrays(np.int64, 5, elements=st.integers(-1, 2)))
def test_cross_entropy_agrees_with_numpy(logits: np.ndarray, labels: np.ndarray) -> None:
    rows = np.flatnonzero(labels >= 0)
    expected = -log_softmax(logits)[rows, labels[rows]].mean() if rows.size else 0.0
    ours = cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_without_labels_nothing_comes_from_them() -> None:
    student = torch.randn(3, 4, requires_grad=True)
    loss = cross_entropy(student, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert (student.grad == 0).all()


@given(LOGITS, LOGITS, st.floats(0.01, 2), st.floats(0.01, 2))
def test_combined_is_the_weighted_sum_of_its_parts(
    student: np.ndarray, teacher: np.ndarray, alpha: float, beta: float
) -> None:
    labels = torch.tensor([0, -1, 2, -1, 1])
    total, parts = combined(
        torch.from_numpy(student),
        torch.from_numpy(teacher),
        labels,
        temperature=2.0,
        alpha=alpha,
        beta=beta,
    )
    soft = kd_by_numpy(student, teacher, 2.0)
    hard = -log_softmax(student)[[0, 2, 4], [0, 2, 1]].mean()
    assert parts["soft"].item() == pytest.approx(soft, rel=1e-9, abs=1e-9)
    assert parts["labels"].item() == pytest.approx(hard, rel=1e-9, abs=1e-9)
    assert total.item() == pytest.approx(alpha * soft + beta * hard, rel=1e-9, abs=1e-9)
