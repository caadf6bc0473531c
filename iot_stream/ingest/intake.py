"""What one message means: readings for the journal, a label, a device's predictions, or bad input."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import msgspec

from iot_stream import logs, topics
from iot_stream.clock import Clock, wall
from iot_stream.columns import Columns
from iot_stream.config import Config, Labels, Pipeline
from iot_stream.errors import DataError
from iot_stream.formats import Conversation, Decoder, Heard, Together, decoder
from iot_stream.formats.json_paths import Path, parse_json, parse_time
from iot_stream.formats.values import shown
from iot_stream.hygiene import EARLIEST, MAX_PAYLOAD, check_times, too_large
from iot_stream.ingest.ahead import FutureAlarm
from iot_stream.ingest.conversations import Conversations, filed
from iot_stream.ingest.levels import Levels
from iot_stream.ingest.packets import Received
from iot_stream.ingest.refused import Refused
from iot_stream.ingest.samples import Samples
from iot_stream.readings import Block, Label, device_name
from iot_stream.store import Store, Transaction
from iot_stream.store.journal import Prediction
from iot_stream.store.totals import BYTES

log = logging.getLogger(__name__)

TOPICS = 100_000  # that are remembered
MOST_VALUES = 2_000_000  # that are kept in memory until they are written
SILENT_S = 60.0  # after which it is said of a source that nothing has come
CHUNK = 250  # messages that are read together: as much as a cache holds
MOST_BYTES = 8_000_000  # of messages that are decoded together


Places = Mapping[str, str]
Refusals = Sequence[tuple[str, DataError]]
Handler = Callable[[Transaction, bytes, Places], Refusals]
"""Of a payload, and what the route's template has in braces; returns what was refused of it, by device."""
Many = Callable[[Transaction, list[bytes], list[Places]], bool]
"""The same of many; False, with nothing done, where each of them must be looked at by itself."""


def _spoken_of(places: Places) -> str:
    """The device that a topic names."""
    return places.get("device", "")


@dataclass(frozen=True, eq=False)
class _Route:
    template: str
    pipeline: str
    handle: Handler
    handle_many: Many | None = None
    speaker: Callable[[Places], str] = _spoken_of
    reads_source: bool = False

    @property
    def pattern(self) -> str:
        return topics.filter_of(self.template)


class Intake:
    """Routes messages of all pipelines into the journal; each bad one is counted and quarantined."""

    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._journal, self._faults = store.journal, store.faults
        self._levels, self._totals = Levels(store.cohorts), store.totals
        self._bytes: Counter[str] = Counter()  # of each pipeline's messages in this transaction
        self.clocks = {name: Clock(pipeline.clock) for name, pipeline in config.pipelines.items()}
        for name, clock in self.clocks.items():
            clock.advance(self._journal.now(name))
        self._conversations = Conversations(config, store)
        self._refused = {name: Refused() for name in config.pipelines}
        self._pending: dict[str, list[Block | Columns]] = {name: [] for name in config.pipelines}
        self._values = 0  # that are pending
        self._known: dict[str, list[tuple[_Route, Places]]] = {}
        self._ways: dict[str, tuple[_Route | None, Places]] = {}
        self._routes = [
            route
            for name, pipeline in config.pipelines.items()
            for route in self._routes_of(config, name, pipeline)
        ]
        self._silent = {route for route in self._routes if route.reads_source}
        self._silent_at: float | None = None

    def _routes_of(self, config: Config, name: str, pipeline: Pipeline) -> list[_Route]:
        levels = {"prefix": config.prefix, "pipeline": name, "device": "{device}"}
        labels = label_reader(pipeline)
        routes = []
        for index, source in enumerate(pipeline.sources):
            decode = decoder(source, index)
            speaker = _spoken_of
            if isinstance(decode, Conversation):
                speaker = decode.speaker
                self._conversations.go_on(name, index, decode)
            many = self._many_readings(name, decode) if isinstance(decode, Together) else None
            spoken = pipeline.upload is None  # else devices may send no readings there
            routes.append(_Route(source.topic, name, self._readings(name, decode), many, speaker, spoken))
        topic = pipeline.labels.topic if pipeline.labels else topics.LABEL.of(**levels)
        routes.append(_Route(topic, name, self._labels(name, labels)))
        routes.append(_Route(topics.PREDICTION.of(**levels), name, self._predictions(name, pipeline)))
        samples = Samples(self._store, name, pipeline)
        routes.append(_Route(topics.SAMPLE.of(**levels), name, self._samples(name, samples)))
        return routes

    @property
    def patterns(self) -> list[str]:
        """None within another, or the broker would send messages twice."""
        own = {route.pattern for route in self._routes}
        return sorted(each for each in own if not any(topics.covers(wide, each) for wide in own - {each}))

    def take_all(self, tx: Transaction, messages: Sequence[Received]) -> None:
        """As `take` of each; what one decoder can read together is read together, for half the cost."""
        for begin in range(0, len(messages), CHUNK):
            self._take_chunk(tx, messages[begin : begin + CHUNK])

    def _take_chunk(self, tx: Transaction, messages: Sequence[Received]) -> None:
        """Those of one route together, in the order in which the routes came first."""
        ways = [self._ways.get(message.topic) or self._way(message.topic) for message in messages]
        routes = dict.fromkeys([route for route, _ in ways])
        for route in routes:
            own, places = messages, [levels for _, levels in ways]
            if len(routes) > 1:
                kept = [each is route for each, _ in ways]
                own, places = list(compress(own, kept)), list(compress(places, kept))
            if route and route.handle_many and len(own) > 1:
                payloads = [message.payload for message in own]
                if route.handle_many(tx, payloads, places):
                    self._bytes[route.pipeline] += sum(map(len, payloads))
                    continue
            for message in own:
                for pipeline in {each.pipeline for each, _ in self._matching(message.topic)}:
                    self._bytes[pipeline] += len(message.payload)
                self.take(tx, message.topic, message.payload)

    def _way(self, topic: str) -> tuple[_Route | None, Places]:
        """The route of a topic, if it is the only one and reads many messages together."""
        if len(self._ways) >= TOPICS:
            self._ways.clear()
        found = self._matching(topic)
        together = len(found) == 1 and found[0][0].handle_many and _is_name(_spoken_of(found[0][1]))
        way = found[0] if together else (None, {})
        self._ways[topic] = way
        return way

    def take(self, tx: Transaction, topic: str, payload: bytes, pipeline: str = "") -> int:
        """Take what the message says, within a transaction that ends with `conclude`, for one pipeline or
        all; returns how often it was refused: once for what several sources of a pipeline say of a device.
        Never raises for what the message holds."""
        refused = set[tuple[str, str, str]]()
        for route, places in self._matching(topic):
            if pipeline and pipeline != route.pipeline:
                continue
            try:
                if len(payload) > MAX_PAYLOAD:
                    raise too_large(payload)
                refusals = route.handle(tx, payload, places)
            except DataError as error:
                refusals = [(route.speaker(places), error)]
            for device, why in refusals:
                device = filed(device)
                if (what := (route.pipeline, device, why.reason)) not in refused:
                    refused.add(what)
                    self._refuse(tx, route.pipeline, device, topic, payload, why)
        return len(refused)

    def _matching(self, topic: str) -> list[tuple[_Route, Places]]:
        """Routes that a topic takes; remembered, for devices speak on the same topics for ever."""
        if topic in self._known:
            return self._known[topic]
        if len(self._known) >= TOPICS:
            self._known.clear()
        matches = ((route, topics.match(route.template, topic)) for route in self._routes)
        found = self._known[topic] = [(route, places) for route, places in matches if places is not None]
        self._silent.difference_update(route for route, _ in found)
        return found

    def conclude(self, tx: Transaction) -> None:
        """At the end of a transaction: what is in memory, and what conversations remember, is part of it."""
        self._write(tx)
        self._levels.write(tx)
        for name, n in self._bytes.items():
            self._totals.add(tx, name, BYTES, n)
        self._bytes.clear()
        self._conversations.conclude(tx)

    def _write(self, tx: Transaction) -> None:
        for name, pending in self._pending.items():
            if pending:
                blocks = Columns.joined(pending)
                news = self._journal.append(tx, name, blocks, self.clocks[name].now())
                if not all(news):
                    known = Counter[str]()
                    for device, count, new in zip(blocks.devices, blocks.counts, news, strict=True):
                        known[device] += 0 if new else count
                    for device, n in (+known).items():
                        self._faults.count(tx, name, device, "duplicate", n)
        self._put_down()

    def _put_down(self) -> None:
        for blocks in self._pending.values():
            blocks.clear()
        self._values = 0

    def committed(self) -> list[tuple[str, bytes]]:
        """(topic, payload) of what conversations ask, to be published."""
        return self._conversations.committed()

    def say_news(self, now: float) -> None:
        """Who died and what was refused since the last time, in the log; to be called every few seconds, with
        the monotonic clock (s)."""
        refused = [(name, said) for name, of in self._refused.items() for said in of.news(now)]
        for name, said in (*self._conversations.news(), *refused):
            log.warning("%s: %s", name, said, extra=logs.about(pipeline=name))

    def say_silent(self, now: float) -> None:
        """On which topics of sources nothing has come: once, in the log, some time after the first call.

        `now` is as for `say_news`.
        """
        if self._silent_at is None:
            self._silent_at = now + SILENT_S
        if now < self._silent_at:
            return
        for name, pattern in sorted({(route.pipeline, route.pattern) for route in self._silent}):
            what = f"nothing has come on {pattern} in {SILENT_S:.0f} s"
            remedy = "is the topic right? `iot-stream discover` shows what is said"
            log.warning("%s: %s; %s", name, what, remedy, extra=logs.about(pipeline=name))
        self._silent.clear()

    def take_back(self) -> None:
        """The transaction failed and its messages come again: nothing of it is remembered."""
        self._put_down()
        self._bytes.clear()
        self._levels.take_back()
        self._conversations.take_back()

    def _refuse(
        self,
        tx: Transaction,
        pipeline: str,
        device: str,
        topic: str,
        payload: bytes,
        error: DataError,
    ) -> None:
        self._refused[pipeline].add(device, error)
        self._faults.count(tx, pipeline, device, error.reason)
        self._faults.quarantine(tx, wall(), pipeline, device, topic, error.reason, error.detail, payload)

    def _readings(self, name: str, decode: Decoder) -> Handler:
        clock, pending = self.clocks[name], self._pending[name]
        future = FutureAlarm()
        stream = clock.kind == "stream"

        def handle(tx: Transaction, payload: bytes, places: Places) -> Refusals:
            now = wall()
            arrived = clock.now() or now if stream else now
            refusals: Refusals = ()
            for block in decode.decode(Heard(payload, arrived, places)):
                try:
                    device = device_name(block.device)
                    newest = check_times(block, now)
                except DataError as error:  # what another device said in this message is as good as ever
                    refusals = [*refusals, (block.device, error)]
                    continue
                if newest > now and (said := future.look(device, newest, now)):
                    log.warning("%s: %s", name, said, extra=logs.about(pipeline=name))
                self._levels.hear(name, device, places)
                if stream:
                    clock.advance(newest)
                pending.append(block if device == block.device else block.renamed(device))
                values = block.raw_values
                self._values += len(values) if isinstance(values, list) else values.size
                if self._values > MOST_VALUES:
                    self._write(tx)
            return refusals

        return handle

    def _many_readings(self, name: str, decode: Together) -> Many:
        clock, pending = self.clocks[name], self._pending[name]

        def handle(tx: Transaction, payloads: list[bytes], places: list[Places]) -> bool:
            if max(map(len, payloads)) > MAX_PAYLOAD or sum(map(len, payloads)) > MOST_BYTES:
                return False
            blocks = decode.decode_together(payloads, places)
            if blocks is None:
                return False
            newest = int(blocks.times.max())
            if blocks.times.min() < EARLIEST or newest > wall():
                return False
            clock.advance(newest)
            self._levels.hear_all(name, blocks.devices, places)
            pending.append(blocks)
            self._values += blocks.values.size
            if self._values > MOST_VALUES:
                self._write(tx)
            return True

        return handle

    def _labels(self, name: str, read: Callable[[str, bytes], Label]) -> Handler:
        def handle(tx: Transaction, payload: bytes, places: Places) -> Refusals:
            label = read(_device_of(places), payload)
            self._journal.add_label(tx, name, label, self.clocks[name].now())
            return ()

        return handle

    def _samples(self, name: str, samples: Samples) -> Handler:
        clock, pending = self.clocks[name], self._pending[name]

        def handle(tx: Transaction, payload: bytes, places: Places) -> Refusals:
            device = _device_of(places)
            found, newest = samples.read(device, payload)
            self._levels.hear(name, device, places)
            clock.advance(newest)
            if block := samples.write(tx, device, found, len(payload), clock.now()):
                pending.append(block)
            return ()

        return handle

    def _predictions(self, name: str, pipeline: Pipeline) -> Handler:
        place = {klass: i for i, klass in enumerate(pipeline.classes)}

        def handle(tx: Transaction, payload: bytes, places: Places) -> Refusals:
            device = _device_of(places)
            try:
                told: topics.Prediction = topics.decode(topics.Prediction, payload)
                said = [*told.earlier, (told.time, told.klass, told.p)]
                found = [Prediction(device, t, told.version, place[klass], p) for t, klass, p in said]
            except (msgspec.DecodeError, KeyError) as error:
                raise DataError("malformed", f"prediction of {device}: {error}") from error
            self._journal.add_predictions(tx, name, found, self.clocks[name].now())
            return ()

        return handle


def _is_name(device: str) -> bool:
    try:
        return device_name(device) == device
    except DataError:
        return False


def _device_of(places: Places) -> str:
    """Its name as one level of a topic, whatever it was."""
    return device_name(places.get("device", ""))


def label_reader(pipeline: Pipeline) -> Callable[[str, bytes], Label]:
    """Bytes of a label message to a label, by the pipeline's settings; the reader raises DataError."""
    settings = pipeline.labels or Labels(topic="")
    classes = pipeline.classes
    value, time, until = (Path(path) for path in (settings.value, settings.time, settings.until))
    hold = int(settings.hold or 0)

    def plain(device: str, payload: bytes) -> Label:
        try:
            message: topics.LabelMessage = topics.decode(topics.LabelMessage, payload)
        except msgspec.DecodeError as error:
            raise DataError("malformed", f"label of {device}: {error}") from error
        return _label(device, classes, message.value, message.time, message.until or message.time)

    def by_paths(device: str, payload: bytes) -> Label:
        message = parse_json(payload, f"label of {device}")
        for path, reason, what in ((time, "absurd_time", "its time"), (value, "unknown_class", "its class")):
            if path.find(message) is None:
                raise DataError(reason, f"label of {device}: no value at {path.text}, which is to be {what}")
        start = parse_time(time.find(message), settings.zone)
        last = until.find(message)
        end = start + hold if last is None else parse_time(last, settings.zone)
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
