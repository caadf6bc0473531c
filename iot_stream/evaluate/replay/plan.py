"""When rounds start: the live triggers on the stream's own clock."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.config import Recordings
from iot_stream.config.cohorts import ALL
from iot_stream.distill.drift import Fresh
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.recordings import Known
from iot_stream.service.triggers import Trigger
from simulator.script import NEVER

Rows = NDArray[np.int64]


class Turn(NamedTuple):
    """A cohort's round: it starts at `now`, learns since `since`, and its version acts after `done` (ns)."""

    now: int
    since: int
    done: int
    reason: str
    cohort: str = ALL


class Waiting:
    """A cohort between its rounds. `scored`: windows of its devices that the teacher has spoken on; `since`
    (ns): what ends later is new to the next round."""

    def __init__(self, trigger: Trigger, scored: int = 0) -> None:
        self.trigger, self.scored, self.since = trigger, scored, trigger.last_round

    def turn(self, now: int, done: int, reason: str, cohort: str) -> Turn:
        """Its round starts."""
        since, self.since = self.since, now
        self.trigger.started(now, self.scored)
        return Turn(now, since, done, reason, cohort)


def turns(
    stream: Stream,
    cohorts: Mapping[str, Waiting],
    of: Callable[[str], str],
    recordings: Recordings,
    known: list[Known],
    look: Callable[[int, Rows, str], Fresh] | None = None,
    before: Callable[[int], None] | None = None,
) -> Iterator[list[Turn]]:
    """The rounds of a stream, those of one moment together: they are to be run before the next are asked for.

    `cohorts` may become more meanwhile; `of`: which of them a device belongs to now, "" where it is not
    learnt from. `known`: the labels that come late. `look`: what models say at a moment (ns) of windows of a
    cohort, by their rows, for a trigger that watches. `before`: called with each moment first; windows that
    never come after all are left out. A round costs its budget `round_time`.
    """
    rows = np.argsort(stream.taught, kind="stable")
    rows = rows[stream.taught[rows] < NEVER]
    delayed = rows[:0]  # what a device sends later than it might have
    moments, begins = np.unique(stream.taught[rows], return_index=True)
    told = sorted(known, key=lambda each: each.at)
    told_at = np.array([each.at for each in told], np.int64)
    done = counted = 0
    for now, seen in zip(moments.tolist(), [*begins[1:].tolist(), len(rows)], strict=True):
        if now < done:
            continue  # the distiller is at work
        if before:
            before(now)
        fresh, counted = rows[counted:seen], seen
        fresh = np.concatenate([delayed, fresh])
        delayed = fresh[(stream.taught[fresh] > now) & (stream.taught[fresh] < NEVER)]
        fresh = fresh[stream.taught[fresh] <= now]
        fresh = fresh[np.argsort(stream.ends[fresh], kind="stable")]
        theirs = _by_cohort(stream, fresh, of)
        due: list[Turn] = []
        for name, waiting in list(cohorts.items()):
            mine, trigger = theirs.get(name, fresh[:0]), waiting.trigger
            waiting.scored += len(mine)
            if look and trigger.watches:
                trigger.watch(look(now, mine, name))
            begin, end = np.searchsorted(told_at, [trigger.last_round, now], side="right")
            labels = sum(of(each.label.device) == name for each in told[begin:end])
            reason = trigger.reason(now, waiting.scored, labels)
            if reason:
                done = now + int(recordings.round_time)
                due.append(waiting.turn(now, done, reason, name))
        if due:
            yield due
            for turn in due:
                cohorts[turn.cohort].trigger.spent(now, int(recordings.round_time) / SECOND)


def _by_cohort(stream: Stream, rows: Rows, of: Callable[[str], str]) -> dict[str, Rows]:
    names, places = np.unique(stream.devices[rows], return_inverse=True)
    cohorts = np.array([of(name) for name in names.tolist()], np.str_)
    return {name: rows[(cohorts == name)[places]] for name in np.unique(cohorts).tolist()}
