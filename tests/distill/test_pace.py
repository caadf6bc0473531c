import math

import pytest

from iot_stream.distill.pace import Pace


def rates(pace: Pace, losses: list[float]) -> list[float]:
    """Of all steps until its end, hearing a loss a block."""
    found, heard = [], iter(losses)
    while len(found) < pace.end:
        found.append(pace.rate(len(found)))
        if pace.listens(len(found)):
            pace.hear(len(found), next(heard))
    return found


def test_a_cosine_falls_from_the_rate_to_nothing() -> None:
    found = rates(Pace(0.5, "cosine", 4), [])
    assert found == pytest.approx(
        [0.5, 0.25 + 0.25 * math.cos(math.pi / 4), 0.25, 0.25 - 0.25 / math.sqrt(2)]
    )


def test_a_constant_rate_stays() -> None:
    assert rates(Pace(0.5, "constant", 3), []) == [0.5] * 3


def test_it_ends_within_a_tenth_of_where_the_loss_stays() -> None:
    # Of 100 steps blocks are 10. The third lowers the loss by 5 %, less than a tenth: ten steps to 0 follow.
    found = rates(Pace(1.0, "constant", 100, plateau=0.1), [1.0, 0.8, 0.76])
    assert len(found) == 40
    assert found[:30] == [1.0] * 30
    assert found[30:] == pytest.approx([1.0 - k / 10 for k in range(10)])


def test_it_falls_from_where_the_cosine_was() -> None:
    pace = Pace(1.0, "cosine", 100, plateau=0.1)
    found = rates(pace, [1.0, 1.0])
    assert len(found) == 30
    assert found[20] == pytest.approx((1 + math.cos(0.2 * math.pi)) / 2)
    assert found[29] == pytest.approx(found[20] / 10)


@pytest.mark.parametrize("plateau", [0.0, 0.1])
def test_a_loss_that_goes_on_falling_has_all_steps(plateau: float) -> None:
    pace = Pace(1.0, "cosine", 100, plateau)
    assert len(rates(pace, [0.5**k for k in range(10)])) == 100


def test_what_is_no_number_ends_nothing_by_itself() -> None:
    """The trainer refuses it; the pace compares with nan, which is never more."""
    assert len(rates(Pace(1.0, "constant", 50, 0.1), [math.nan] * 10)) == 50


@pytest.mark.parametrize("steps", [1, 2, 5, 19])
def test_few_steps_are_blocks_of_one(steps: int) -> None:
    assert len(rates(Pace(1.0, "cosine", steps, 0.5), [1.0] * steps)) == min(steps, 3)
