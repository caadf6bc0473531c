"""Students whose inputs are normalised anew, through a replay's rounds."""

from pathlib import Path

import pytest

from iot_stream.evaluate.replay.course import Memory
from iot_stream.evaluate.replay.fleet import STUDENT, Cohort, Version
from iot_stream.service import learning
from iot_stream.spec import Spec
from tests.evaluate import replaying
from tests.service.running import NAME

pytestmark = pytest.mark.slow


def test_rounds_go_on_from_whichever_candidate_was_released(tmp_path: Path) -> None:
    distill = {"first_steps": 200, "steps": 30, "renormalise": True, "average": 2}
    settings = replaying.pipeline(tmp_path, distill=distill)
    _, course = replaying.run(settings, replaying.recorded(settings))
    released = [done for done in course.rounds if done.outcome == "released"]
    taken = [done for done in released if (done.report["fusion"]["renormalised"] or {}).get("taken")]
    assert taken
    assert {done.report["fusion"]["averaged"] for done in taken} == {0}
    first = course.prepared.first
    assert course.student.spec != first.spec
    assert Spec.decode(course.student.spec).golden == Spec.decode(first.spec).golden
    course.student.model().self_test()


def test_a_student_is_averaged_with_those_whose_inputs_are_as_its_own(tmp_path: Path) -> None:
    settings = replaying.pipeline(tmp_path)
    prepared = learning.prepare(Memory(), NAME, settings, replaying.PLACE, lambda *_: None)
    cohort = Cohort(prepared, {STUDENT: [Version(-1, prepared.first)]})
    moved = prepared.learner.architecture.renormalised(prepared.learner.bootstrap.x * 2)
    packed = moved.pack(moved.resumed(prepared.first.resume))
    cohort.release(0, packed)
    assert cohort.past(3) == [packed.resume]
    cohort.release(1, packed)
    assert cohort.past(3) == [packed.resume] * 2
    cohort.release(2, prepared.first)
    assert cohort.past(3) == [prepared.first.resume] * 2
