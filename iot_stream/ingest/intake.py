"""What one message means: readings for the journal, a label, a device's predictions, or bad input."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from iot_stream import topics
from iot_stream.clock import Clock, wall
from iot_stream.config import Config, Labels, Pipeline
from iot_stream.errors import DataError
from iot_stream.formats import Decoder, decoder
from iot_stream.formats.json_paths import Path, parse_json, parse_time, shown
from iot_stream.hygiene import check_size, clean
from iot_stream.readings import Label, check_device_name
from iot_stream.store import Store
from iot_stream.store.journal import Prediction

Handler = Callable[[sqlite3.Connection, str, bytes], None]


@dataclass(frozen=True)
class _Route:
    template: str
    pipeline: str
    handle: Handler

    @property
    def pattern(self) -> str:
        return "/".join("+" if level.startswith("{") else level for level in self.template.split("/"))


class Intake:
    """Routes messages of all pipelines into the journal; each bad one is counted and quarantined."""

    def __init__(self, config: Config, store: Store) -> None:
        self._journal = store.journal
        self.clocks = {name: Clock(pipeline.clock) for name, pipeline in config.pipelines.items()}
        for name, clock in self.clocks.items():
            clock.advance(self._journal.now(name))
        self._routes = [
            route
            for name, pipeline in config.pipelines.items()
            for route in self._routes_of(config, name, pipeline)
        ]

    def _routes_of(self, config: Config, name: str, pipeline: Pipeline) -> list[_Route]:
        levels = {"prefix": config.prefix, "pipeline": name, "device": "{device}"}
        labels = label_reader(pipeline)
        routes = [
            _Route(source.topic, name, self._readings(name, pipeline, decoder(source, index), index))
            for index, source in enumerate(pipeline.sources)
        ]
        topic = pipeline.labels.topic if pipeline.labels else topics.LABEL.of(**levels)
        routes.append(_Route(topic, name, self._labels(name, labels)))
        routes.append(_Route(topics.PREDICTION.of(**levels), name, self._predictions(name, pipeline)))
        return routes

    @property
    def patterns(self) -> list[str]:
        return sorted({route.pattern for route in self._routes})

    def take(self, tx: sqlite3.Connection, topic: str, payload: bytes) -> None:
        """Write what the message says, within a transaction. Never raises for what the message holds."""
        for route in self._routes:
            levels = topics.match(route.template, topic)
            if levels is None:
                continue
            device = levels.get("device", "")
            try:
                check_size(payload)
                route.handle(tx, check_device_name(device), payload)
            except DataError as error:
                self._journal.count(tx, route.pipeline, device, error.reason)
                self._journal.quarantine(
                    tx, wall(), route.pipeline, device, topic, error.reason, error.detail, payload
                )

    def _readings(self, name: str, pipeline: Pipeline, decode: Decoder, index: int) -> Handler:
        clock = self.clocks[name]
        error_values = frozenset(pipeline.sources[index].error_values)

        def handle(tx: sqlite3.Connection, device: str, payload: bytes) -> None:
            for raw in decode.decode(device, payload, clock.now() or wall()):
                block = clean(raw, wall(), error_values)
                clock.advance(int(block.times.max()))
                if not self._journal.append(tx, name, block, clock.now()):
                    self._journal.count(tx, name, device, "duplicate", len(block))

        return handle

    def _labels(self, name: str, read: Callable[[str, bytes], Label]) -> Handler:
        def handle(tx: sqlite3.Connection, device: str, payload: bytes) -> None:
            self._journal.add_label(tx, name, read(device, payload), self.clocks[name].now())

        return handle

    def _predictions(self, name: str, pipeline: Pipeline) -> Handler:
        place = {klass: i for i, klass in enumerate(pipeline.classes)}

        def handle(tx: sqlite3.Connection, device: str, payload: bytes) -> None:
            try:
                message: topics.Prediction = topics.decode(topics.Prediction, payload)
                said = [*message.earlier, (message.time, message.klass, message.p)]
                found = [Prediction(device, t, message.version, place[klass], p) for t, klass, p in said]
            except (msgspec.DecodeError, KeyError) as error:
                raise DataError("malformed", f"prediction of {device}: {error}") from error
            self._journal.add_predictions(tx, name, found, self.clocks[name].now())

        return handle


def label_reader(pipeline: Pipeline) -> Callable[[str, bytes], Label]:
    """Bytes of a label message to a label, by the pipeline's settings; the reader raises DataError."""
    settings = pipeline.labels or Labels(topic="")
    classes = pipeline.classes
    value, time, until = (Path(path) for path in (settings.value, settings.time, settings.until))

    def plain(device: str, payload: bytes) -> Label:
        try:
            message: topics.LabelMessage = topics.decode(topics.LabelMessage, payload)
        except msgspec.DecodeError as error:
            raise DataError("malformed", f"label of {device}: {error}") from error
        return _label(device, classes, message.value, message.time, message.until or message.time)

    def by_paths(device: str, payload: bytes) -> Label:
        message = parse_json(payload, f"label of {device}")
        start = parse_time(time.find(message), settings.zone)
        last = until.find(message)
        end = start if last is None else parse_time(last, settings.zone)
        return _label(device, classes, value.find(message), start, end)

    return by_paths if pipeline.labels else plain


def _label(device: str, classes: tuple[str, ...], value: object, start: int, end: int) -> Label:
    if isinstance(value, str) and value in classes:
        index = classes.index(value)
    elif isinstance(value, int) and 0 <= value < len(classes):
        index = int(value)
    else:
        raise DataError("unknown_class", f"label of {device}: {shown(value)} is none of {', '.join(classes)}")
    if not 0 <= start <= end < 2**63:
        raise DataError("absurd_time", f"label of {device}: from {start} to {end}")
    return Label(device, start, end, index)
