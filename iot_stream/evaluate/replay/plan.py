"""When rounds start: the live trigger on the stream's own clock."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.config import Recordings
from iot_stream.distill.drift import Fresh
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.readings import Times
from iot_stream.service.triggers import Trigger
from simulator.script import NEVER


class Turn(NamedTuple):
    """A round: it starts at `now`, learns since `since`, and its version acts after `done` (ns)."""

    now: int
    since: int
    done: int
    reason: str


def turns(
    stream: Stream,
    trigger: Trigger,
    recordings: Recordings,
    told: Times,
    look: Callable[[int, NDArray[np.int64]], Fresh] | None = None,
) -> Iterator[Turn]:
    """The rounds of a stream, one after the other: each is to be run before the next is asked for.

    `told` (m,): when each late label comes, rising. `look`: what models say at a moment (ns) of windows by
    their rows, for a trigger that watches. A round costs its budget `round_time`.
    """
    rows = np.argsort(stream.taught, kind="stable")
    rows = rows[stream.taught[rows] < NEVER]
    moments, begins = np.unique(stream.taught[rows], return_index=True)
    done = watched = 0
    for now, seen in zip(moments.tolist(), [*begins[1:].tolist(), len(rows)], strict=True):
        if now < done:
            continue  # the distiller is at work
        if look and trigger.watches:
            fresh, watched = rows[watched:seen], seen
            trigger.watch(look(now, fresh[np.argsort(stream.ends[fresh], kind="stable")]))
        labels = int(np.searchsorted(told, now, side="right"))
        labels -= int(np.searchsorted(told, trigger.last_round, side="right"))
        reason = trigger.reason(now, seen, labels)
        if reason:
            done = now + int(recordings.round_time)
            since = trigger.last_round
            trigger.started(now, seen)
            yield Turn(now, since, done, reason)
            trigger.spent(now, int(recordings.round_time) / SECOND)
