"""What is new to a round: each window judges in one, however late it was spoken of; and what it tells."""

import logging
import re

import pytest

from iot_stream.clock import SECOND
from iot_stream.service import round
from tests.service.by_hand import DEVICE, ByHand
from tests.service.running import NAME

pytestmark = pytest.mark.slow


def test_windows_whose_words_come_later_than_the_next_round_judge_in_it(service: ByHand) -> None:
    late = 1000 * SECOND
    for _ in range(3):
        service.hear(60, late=late)
        assert service.round()[0] in ("released", "rejected")
    judged = [each.report["gate"]["windows"] for each in service.store.registry.rounds(NAME)[1:]]
    assert judged == [judged[0]] * 3


def test_what_has_judged_is_new_no_more(service: ByHand) -> None:
    service.hear(60)
    assert service.round()[0] in ("released", "rejected")
    assert service.round()[0] == "held"
    assert service.store.registry.rounds(NAME)[-1].report["gate"]["windows"] == 0


def test_what_was_too_little_to_judge_by_judges_in_the_next(service: ByHand) -> None:
    service.hear(12)
    assert service.round()[0] == "held"
    service.hear(12)
    assert service.round()[0] in ("released", "rejected")
    first, then = (each.report["gate"]["windows"] for each in service.store.registry.rounds(NAME)[1:])
    assert first < 10 <= then


def test_who_is_held_gives_no_reason_for_a_round_until_it_is_resumed(service: ByHand) -> None:
    service.store.scope.hold("ann", NAME, DEVICE, 0, "overhaul")
    service.hear(60)
    assert not service.goes_on()
    service.store.scope.resume(NAME, DEVICE, 0)
    assert service.goes_on()
    assert service.store.registry.rounds(NAME)[-1].outcome in ("released", "rejected")


def test_a_round_that_takes_its_time_tells_its_losses(
    service: ByHand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(round, "TELL_S", 0.0)
    service.hear(60)
    with caplog.at_level(logging.DEBUG, "iot_stream.service.chronicle"):
        service.round()
    steps = [each for each in caplog.messages if "distillation step" in each]
    assert len(steps) == 30
    assert re.fullmatch(r"tiny-all-0001 progress distillation step 30 of 30: soft \d\.\d{4}.*", steps[-1])


def test_the_log_keeps_a_step_now_and_then_and_how_it_ended(
    service: ByHand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(round, "TELL_S", 0.0)
    service.hear(60)
    with caplog.at_level(logging.INFO, "iot_stream.service.chronicle"):
        service.round()
    told = [each for each in caplog.messages if "distillation" in each]
    assert len(told) == 2
    assert "step 1 of 30" in told[0]
    assert "30 steps: " in told[1]
