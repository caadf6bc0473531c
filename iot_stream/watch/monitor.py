"""Live lines: model updates, rounds and devices, as they happen on the broker."""

import time
from collections.abc import Callable

import msgspec

from iot_stream import topics
from iot_stream.config import Config
from iot_stream.mqtt import Connection, Message

Show = Callable[[str], None]


def describe(topic: str, payload: bytes) -> str | None:
    """One message as a line for a person; None for what a person need not see."""
    try:
        if levels := topics.BUNDLE.levels(topic):
            slot = f"{levels['pipeline']}/{levels['cohort']}/{levels['slot']}"
            return f"model    {slot}: bundle of {len(payload)} bytes"
        if levels := topics.BLOB.levels(topic):
            what = f"{len(payload)} bytes" if payload else "cleared"
            return f"model    {levels['pipeline']}: blob {levels['sha256'][:12]} {what}"
        if levels := topics.ROUND.levels(topic):
            return _round(topics.decode(topics.RoundEvent, payload))
        if levels := topics.REPORT.levels(topic):
            return _report(levels["device"], topics.decode(topics.Report, payload))
        if levels := topics.STATUS.levels(topic):
            status = topics.decode(topics.Status, payload)
            state = "online" if status.online else "offline"
            return f"device   {levels['device']}: {state}, version {status.version}"
        if levels := topics.SERVICE.levels(topic):
            service = topics.decode(topics.Service, payload)
            state = (service.fault or "running") if service.online else "stopped"
            return f"service  {levels['part']}: {state}"
    except msgspec.DecodeError as error:
        return f"unclear  {topic}: {error}"
    return None


def _round(event: topics.RoundEvent) -> str:
    version = f"version {event.version}" if event.version else ""
    words = [event.event, event.trigger, event.stage, version, event.detail]
    return f"round    {event.round}: {' · '.join(word for word in words if word)}"


def _report(device: str, report: topics.Report) -> str:
    version = f"version {report.version}"
    if report.event == "applied":
        what = f"{version} for {report.previous}, swapped in {report.swap_us:.0f} µs"
    elif report.event == "health":
        what = f"{version}, {report.windows} windows, mean confidence {report.mean_p:.2f}"
    else:
        what = f"{report.event.replace('_', ' ')}, runs {version}: {report.reason}, {report.detail}"
    return f"device   {device}: {what}"


class Monitor:
    def __init__(self, config: Config, show: Show) -> None:
        self._show = show
        self._last: dict[str, str] = {}
        self._connection = Connection(
            config.address, f"{config.prefix}-monitor-{time.time_ns():x}", self._take
        )
        self._connection.subscribe(topics.SERVICE.pattern(prefix=config.prefix))
        for name in config.pipelines:
            for topic in (topics.BUNDLE, topics.BLOB, topics.ROUND, topics.REPORT, topics.STATUS):
                self._connection.subscribe(topic.pattern(prefix=config.prefix, pipeline=name))

    def _take(self, message: Message) -> None:
        line = describe(message.topic, message.payload)
        if line and self._last.get(message.topic) != line:
            self._last[message.topic] = line
            self._show(line)

    def start(self) -> None:
        self._connection.start()

    def stop(self) -> None:
        self._connection.stop()
