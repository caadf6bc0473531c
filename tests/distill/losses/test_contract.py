"""What every loss of the registry keeps to, by discovery."""

import re

import pytest
import torch
from torch import Tensor

from iot_stream.distill.losses import SOFT, Batch, combined
from iot_stream.errors import ModelError

NAMES = ["binary", "decoupled", "dist", "hints", "kd", "logit_mse", "standardised"]


def test_all_are_checked_here() -> None:
    assert SOFT.names() == NAMES


def batch(student: Tensor, teacher: Tensor, right: Tensor | None = None) -> Batch:
    """With features, which only hints looks at: the logits themselves."""
    right = teacher.argmax(dim=1) if right is None else right
    return Batch(student, teacher, right, student, teacher)


def loss(name: str, student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    return SOFT.get(name)(batch(student, teacher), temperature)[0]


def drawn(rows: int, classes: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_number_that_falls_to_nothing_where_both_agree(name: str) -> None:
    student, teacher = drawn(6, 4, 0), drawn(6, 4, 1)
    assert loss(name, student, teacher).shape == ()
    assert loss(name, student, teacher).item() > 0.01
    assert loss(name, teacher, teacher).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_weighted_sum_of_its_parts(name: str) -> None:
    known = SOFT.get(name)
    total, parts = known(batch(drawn(6, 4, 0), drawn(6, 4, 1)), 2.0)
    assert parts.keys() == known.weights.keys()
    assert total.item() == pytest.approx(sum(known.weights[part] * parts[part].item() for part in parts))
    chosen = dict.fromkeys(parts, 0.25)
    weighted, same = known.weighted(chosen)(batch(drawn(6, 4, 0), drawn(6, 4, 1)), 2.0)
    assert weighted.item() == pytest.approx(0.25 * sum(part.item() for part in same.values()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_its_gradient_numerically(name: str, temperature: float) -> None:
    student, teacher = drawn(5, 4, 2).requires_grad_(), drawn(5, 4, 3)
    assert torch.autograd.gradcheck(lambda logits: loss(name, logits, teacher, temperature), student)


@pytest.mark.parametrize("name", NAMES)
def test_the_teacher_gets_no_gradient(name: str) -> None:
    student, teacher = drawn(5, 4, 2).requires_grad_(), drawn(5, 4, 3).requires_grad_()
    loss(name, student, teacher).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_give_a_number_and_a_finite_gradient(name: str, dtype: torch.dtype) -> None:
    far = [[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, 0.0, 0.0], [3e4, 3e4, 3e4]]
    other = [[-1e4, 1e4, 0.0], [-1e4, 1e4, 1e4], [1e4, 0.0, -1e4], [0.0, 0.0, 1.0]]
    for mine, theirs in ((far, other), (other, far), (far, far)):
        student = torch.tensor(mine, dtype=dtype, requires_grad=True)
        value = loss(name, student, torch.tensor(theirs, dtype=dtype), 1.0)
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert student.grad is not None
        assert torch.isfinite(student.grad).all()
        assert value.item() == pytest.approx(0, abs=1e-6) if mine is theirs else value.item() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_in_bf16_it_is_as_good_as_its_logits(name: str) -> None:
    student, teacher = drawn(64, 4, 4, torch.bfloat16), drawn(64, 4, 5, torch.bfloat16)
    exact = loss(name, student.double(), teacher.double()).item()
    assert loss(name, student, teacher).item() == pytest.approx(exact, rel=1e-4)


DEGENERATE = {
    "one class": drawn(5, 1, 6),
    "two classes": drawn(5, 2, 6),
    "one row": drawn(1, 4, 6),
    "equal logits": torch.full((5, 4), 3.0, dtype=torch.float64),
    "the same in every row": drawn(1, 4, 6).expand(5, 4),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", DEGENERATE)
def test_a_degenerate_teacher_teaches_what_it_says_and_no_more(name: str, case: str) -> None:
    teacher = DEGENERATE[case]
    assert loss(name, teacher, teacher).item() == pytest.approx(0, abs=1e-9)
    student = drawn(*teacher.shape, 7).requires_grad_()
    value = loss(name, student, teacher)
    value.backward()
    assert value.item() >= 0
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", ["decoupled", "dist", "kd", "standardised"])
def test_of_one_class_there_is_nothing_to_learn(name: str) -> None:
    assert loss(name, drawn(5, 1, 8), drawn(5, 1, 9)).item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_student_that_says_nothing_yet_learns(name: str) -> None:
    """Logits of 0, as of a head that begins at 0: a step against the gradient makes it better."""
    student, teacher = torch.zeros(6, 4, dtype=torch.float64, requires_grad=True), drawn(6, 4, 1)
    before = loss(name, student, teacher)
    before.backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    step = 0.1 * student.grad / student.grad.norm()
    assert loss(name, student.detach() - step, teacher) < before


# --- in the service's loss ----------------------------------------------------------------------


def whole(name: str, **more: object) -> tuple[Tensor, dict[str, Tensor]]:
    student, teacher = drawn(5, 3, 0), drawn(5, 3, 1)
    settings = {"temperature": 2.0, "alpha": 0.7, "beta": 0.3} | more
    labels = torch.tensor([0, -1, 2, -1, 1])
    seen = {"student_features": student, "teacher_features": teacher} if name == "hints" else {}
    return combined(student, teacher, labels, loss=name, **settings, **seen)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_the_services_loss_names_its_parts(name: str) -> None:
    total, parts = whole(name)
    own = list(SOFT.get(name).weights) if len(SOFT.get(name).weights) > 1 else []
    assert list(parts) == ["soft", *own, "labels"]
    assert total.item() == pytest.approx(0.7 * parts["soft"].item() + 0.3 * parts["labels"].item(), rel=1e-6)


def test_decoupled_takes_the_label_for_right_and_else_the_teachers_word() -> None:
    labels, teacher = torch.tensor([0, -1, 2, -1, 1]), drawn(5, 3, 1)
    right = torch.where(labels < 0, teacher.argmax(dim=1), labels)
    expected, _ = SOFT.get("decoupled")(batch(drawn(5, 3, 0), teacher, right), 2.0)
    assert whole("decoupled")[1]["soft"].item() == pytest.approx(expected.item())


def test_a_term_of_no_weight_is_not_there() -> None:
    assert list(whole("kd", beta=0.0)[1]) == ["soft"]
    assert list(whole("kd", alpha=0.0)[1]) == ["labels"]
    with pytest.raises(ModelError, match="both 0"):
        whole("kd", alpha=0.0, beta=0.0)


def test_unknown_losses_and_parts_name_the_nearest() -> None:
    with pytest.raises(ModelError, match="is decoupled meant"):
        whole("decoupld")
    with pytest.raises(ModelError, match=r"loss_weights.*is other_classes meant"):
        whole("decoupled", weights={"other_class": 2.0})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 1), (4, 3), (1, 3), (5,)])
def test_what_is_of_two_shapes_is_refused_and_not_stretched(name: str, shape: tuple[int, ...]) -> None:
    right, other = torch.zeros(5, dtype=torch.int64), torch.zeros(shape)
    with pytest.raises(ModelError, match=re.escape(f"got (5, 3) and {shape}")):
        SOFT.get(name)(batch(drawn(5, 3, 0), other, right), 2.0)


def test_hints_without_features_are_refused() -> None:
    with pytest.raises(ModelError, match="hidden layers"):
        SOFT.get("hints")(Batch(drawn(2, 3, 0), drawn(2, 3, 1), torch.zeros(2, dtype=torch.int64)), 1.0)
