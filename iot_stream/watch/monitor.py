"""Live lines: model updates, rounds and devices, as they happen on the broker."""

import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from iot_stream import topics
from iot_stream.config import Config
from iot_stream.mqtt import Connection, Message


class Seen(NamedTuple):
    """One message in a person's words: `kind` of a few, the device, round or model that it is `about`."""

    kind: str
    about: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind:8} {self.about}: {self.words}"


Show = Callable[[Message, Seen], None]


def describe(topic: str, payload: bytes) -> Seen | None:
    """None for what a person need not see."""
    try:
        if levels := topics.BUNDLE.levels(topic):
            slot = f"{levels['pipeline']}/{levels['cohort']}/{levels['slot']}"
            return Seen("model", slot, f"bundle of {len(payload)} bytes")
        if levels := topics.BLOB.levels(topic):
            what = f"{len(payload)} bytes" if payload else "cleared"
            return Seen("model", levels["pipeline"], f"blob {levels['sha256'][:12]} {what}")
        if levels := topics.ROUND.levels(topic):
            return _round(topics.decode(topics.RoundEvent, payload))
        if levels := topics.REPORT.levels(topic):
            return Seen("device", levels["device"], _report(topics.decode(topics.Report, payload)))
        if levels := topics.STATUS.levels(topic):
            status = topics.decode(topics.Status, payload)
            state = "online" if status.online else "offline"
            runs = f"version {status.version}" if status.version else "no version yet"
            return Seen("device", levels["device"], f"{state}, {runs}")
        if levels := topics.SERVICE.levels(topic):
            service = topics.decode(topics.Service, payload)
            state = (service.fault or "running") if service.online else "stopped"
            return Seen("service", levels["part"], state)
    except msgspec.DecodeError as error:
        return Seen("unclear", topic, str(error))
    return None


def _round(event: topics.RoundEvent) -> Seen:
    version = f"version {event.version}" if event.version else ""
    words = [event.event, event.trigger, event.stage, version, event.detail]
    return Seen("round", event.round, " · ".join(word for word in words if word))


def _report(report: topics.Report) -> str:
    version = f"version {report.version}"
    if report.event == "applied":
        before = f"for {report.previous}" if report.previous else "as its first"
        return f"{version} {before}, swapped in {report.swap_us:.0f} µs"
    if report.event == "health":
        return f"{version}, {report.windows} windows, mean confidence {report.mean_p:.2f}"
    return f"{report.event.replace('_', ' ')}, runs {version}: {report.reason}, {report.detail}"


class Monitor:
    def __init__(self, config: Config, show: Show) -> None:
        self._show = show
        self._last: dict[str, Seen] = {}
        name = f"{config.prefix}-monitor-{time.time_ns():x}"
        self._connection = Connection(config.address, name, self.take)
        self._connection.subscribe(topics.SERVICE.pattern(prefix=config.prefix))
        for name in config.pipelines:
            for topic in (topics.BUNDLE, topics.BLOB, topics.ROUND, topics.REPORT, topics.STATUS):
                self._connection.subscribe(topic.pattern(prefix=config.prefix, pipeline=name))

    def take(self, message: Message) -> None:
        """What came; shown if it is something for a person, and not what its topic said last."""
        seen = describe(message.topic, message.payload)
        if seen and self._last.get(message.topic) != seen:
            self._last[message.topic] = seen
            self._show(message, seen)

    def start(self, *, patient: bool = False) -> None:
        """If `patient`, also where no broker is: it goes on trying."""
        self._connection.start(patient=patient)

    @property
    def connected(self) -> bool:
        return self._connection.connected

    def stop(self) -> None:
        self._connection.stop()
