"""How far rounds are: what the distiller says on the broker while it is at one."""

import threading
from collections import OrderedDict

import msgspec

from iot_stream import topics
from iot_stream.watch.dashboard.views.asked import seconds

ROUNDS, STEPS = 50, 100
"""That are remembered, and of each the newest."""


class Step(msgspec.Struct, frozen=True):
    """`at`: seconds since 1970."""

    at: float
    event: str
    stage: str
    detail: str


class Progress:
    """Of the rounds that spoke last; heard by one thread, asked by others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: OrderedDict[tuple[str, str], list[Step]] = OrderedDict()
        self._heard: dict[str, int] = {}

    def take(self, topic: str, payload: bytes) -> None:
        """Any message; those that are no round's event are none of ours."""
        levels = topics.ROUND.levels(topic)
        if levels is None:
            return
        try:
            event = topics.decode(topics.RoundEvent, payload)
        except msgspec.DecodeError:
            return  # the topics page shows it, with what is wrong
        key = levels["pipeline"], event.round
        step = Step(seconds(event.time), event.event, event.stage, event.trigger or event.detail)
        with self._lock:
            self._steps.setdefault(key, []).append(step)
            self._steps.move_to_end(key)
            del self._steps[key][:-STEPS]
            if len(self._steps) > ROUNDS:
                self._steps.popitem(last=False)
            self._heard[key[0]] = self._heard.get(key[0], 0) + 1

    def of(self, pipeline: str, round_id: str) -> list[Step]:
        with self._lock:
            return list(self._steps.get((pipeline, round_id), ()))

    def newest(self, pipeline: str) -> tuple[str, list[Step]]:
        """The round that spoke last, "" for none, and its steps."""
        with self._lock:
            mine = [(name, steps) for (of, name), steps in self._steps.items() if of == pipeline]
            return (mine[-1][0], list(mine[-1][1])) if mine else ("", [])

    def heard(self, pipeline: str) -> int:
        """How many events there were: another number, when there is something new."""
        with self._lock:
            return self._heard.get(pipeline, 0)
