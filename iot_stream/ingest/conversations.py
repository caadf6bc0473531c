"""Dialects whose messages make sense only after others: what they remember, lost and ask, and who died."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from iot_stream import logs
from iot_stream.config import Config
from iot_stream.errors import DataError
from iot_stream.formats import Conversation
from iot_stream.ingest.deaths import Deaths
from iot_stream.ingest.loss import LossAlarm
from iot_stream.readings import device_name
from iot_stream.store import Store, Transaction

log = logging.getLogger(__name__)


def filed(device: str) -> str:
    """Under the name that a device has, if one can have it."""
    try:
        return device_name(device)
    except DataError:
        return device


@dataclass
class _Talk:
    """`kept` is its snapshot in the store."""

    pipeline: str
    source: int
    decoder: Conversation
    kept: bytes
    written: bytes = b""


class Conversations:
    """Of all pipelines. What sources of a pipeline hear of the same node counts once."""

    def __init__(self, config: Config, store: Store) -> None:
        self._faults, self._memory = store.faults, store.memory
        self._talks: list[_Talk] = []
        self._alarms = {
            name: LossAlarm(pipeline.loss_alarm, "messages") for name, pipeline in config.pipelines.items()
        }
        self._deaths = {name: Deaths() for name in config.pipelines}

    def go_on(self, pipeline: str, source: int, decoder: Conversation) -> None:
        """From where it stood when the last process ended."""
        kept = self._memory.conversation(pipeline, source) or b""
        decoder.restore(kept)
        self._talks.append(_Talk(pipeline, source, decoder, kept))

    def conclude(self, tx: Transaction) -> None:
        """At the end of a transaction: what they remember and have lost is part of it."""
        self._count(tx)
        for talk in self._talks:
            talk.written = talk.decoder.snapshot()
            if talk.written != talk.kept:
                self._memory.save_conversation(tx, talk.pipeline, talk.source, talk.written)

    def _count(self, tx: Transaction) -> None:
        lost, heard = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
        for talk in self._talks:
            lost[talk.pipeline] |= Counter(talk.decoder.lost())
            heard[talk.pipeline] |= Counter(talk.decoder.heard())
        for name, devices in heard.items():
            for device, n in devices.items():
                gone, known = lost[name][device], filed(device)
                if gone:
                    self._faults.count(tx, name, known, "lost", gone)
                if said := self._alarms[name].add(known, gone, n):
                    log.warning("%s: %s", name, said, extra=logs.about(pipeline=name))

    def committed(self) -> list[tuple[str, bytes]]:
        """(topic, payload) of what is asked, to be published; once where several ask the same."""
        for talk in self._talks:
            talk.kept = talk.written
            self._deaths[talk.pipeline].add(talk.decoder.deaths())
        return list(dict(ask for talk in self._talks for ask in talk.decoder.asks()).items())

    def take_back(self) -> None:
        """The transaction failed, and its messages come again."""
        for talk in self._talks:
            talk.decoder.restore(talk.kept)

    def news(self) -> Iterator[tuple[str, str]]:
        """(pipeline, who died or is there again) since the last time."""
        for name, deaths in self._deaths.items():
            for said in deaths.said():
                yield name, said
