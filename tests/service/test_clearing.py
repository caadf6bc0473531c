"""A teacher is held, a person clears it, it teaches again, and what comes then may hold it again."""

import pytest

from iot_stream.clock import SECOND
from tests.service.by_hand import ByHand
from tests.service.running import NAME
from tests.streams import START

pytestmark = pytest.mark.slow


def test_a_teacher_whose_channel_stuck_teaches_again_once_it_is_cleared(service: ByHand) -> None:
    service.hear(60)
    assert service.round() == ("released", {"broken": 0, "doubt": "", "cleared": None})
    assert service.clear() == ("failed", f"the teacher of {NAME} is not held")

    service.hear(60, stuck=True)
    doubt = "f0 is stuck or missing in 100% of the new windows"
    assert service.round() == ("held", {"broken": 60, "doubt": doubt, "cleared": None})
    (held,) = service.store.doubts.standing(NAME)
    assert (held.since, held.reason) == (START + 119 * SECOND, doubt)

    until = "2015-02-19T14:45:19.000Z"
    said = f"the teacher is believed again; set aside until {until}: {doubt}"
    assert service.clear() == ("done", said)
    assert service.store.doubts.standing(NAME) == []

    service.restart()
    service.hear(30, stuck=True)  # not longer, since then, than is no evidence
    cleared = {"until": until, "by": "ann"}
    assert service.round() == ("released", {"broken": 0, "doubt": "", "cleared": cleared})
    learnt = service.store.registry.rounds(NAME)[-1].report["sample"]["recent"]
    assert learnt > 100  # also from what it said while it was held

    service.hear(40, stuck=True)
    assert service.round() == ("held", {"broken": 70, "doubt": doubt, "cleared": cleared})


def test_labels_of_before_the_clearing_prove_nothing_any_more(service: ByHand) -> None:
    service.hear(100, wrong=True)
    outcome, told = service.round()
    assert outcome == "held"
    assert told["doubt"].startswith("late labels prove it wrong: 0 of 100 right")
    assert service.clear()[0] == "done"
    service.hear(40, wrong=False)
    assert service.round()[1]["doubt"] == ""
    service.hear(100, wrong=True)
    assert service.round()[1]["doubt"].startswith("late labels prove it wrong: 40 of 140 right")
