"""When rounds start: the live trigger on the stream's own clock."""

from typing import NamedTuple

import numpy as np

from iot_stream.config import Recordings, Triggers
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.service.triggers import Trigger
from simulator.script import NEVER


class Turn(NamedTuple):
    """A round: it starts at `now`, learns since `since`, and its version acts after `done` (ns)."""

    now: int
    since: int
    done: int
    reason: str


def turns(stream: Stream, triggers: Triggers, recordings: Recordings) -> list[Turn]:
    """All rounds of a stream. They depend on what arrived when, never on what a model said."""
    moments, counts = np.unique(stream.taught[stream.taught < NEVER], return_counts=True)
    trigger = Trigger(triggers, 0, 0)
    found: list[Turn] = []
    for now, seen in zip(moments.tolist(), np.cumsum(counts).tolist(), strict=True):
        if found and now < found[-1].done:
            continue  # the distiller is at work
        reason = trigger.reason(now, seen)
        if reason:
            found.append(Turn(now, trigger.last_round, now + int(recordings.round_time), reason))
            trigger.started(now, seen)
    return found
