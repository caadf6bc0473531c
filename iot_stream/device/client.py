"""The device: readings go up, a model comes down, and no reading is missed in between.

`feed` takes readings from whoever reads the sensor, publishes them, and says what the model that
runs makes of each window. Bundles are verified, loaded and tested on a thread of their own; then the
model changes between two windows, under a lock that is held for microseconds.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from iot_stream import topics
from iot_stream.artifact import blobs
from iot_stream.artifact.trust import Scope
from iot_stream.clock import wall
from iot_stream.cut import Cut
from iot_stream.device.model import Model, softmax
from iot_stream.device.settings import DeviceSettings
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import BrokerError, DataError, Refused
from iot_stream.formats.telemetry import encode as encode_telemetry
from iot_stream.mqtt import Connection, Message, Will
from iot_stream.readings import Times, Values, check_device_name
from iot_stream.windows import Windower, Windows

log = logging.getLogger(__name__)

HEALTH_WINDOWS = 500
RUNTIME = "onnxruntime"
EARLY = 200_000  # values that are kept for the first model


class Sent(Protocol):
    """What a publication knows of itself."""

    def is_published(self) -> bool: ...


Publish = Callable[[str, bytes], list[Sent]]


@dataclass
class _Running:
    """The model that predicts, and the windower that feeds it."""

    model: Model
    windower: Windower
    failed: bool = False  # it gave no sense: no more predictions until it is replaced


class DeviceClient:
    """`publish` sends telemetry (the simulator puts its faults there); the default is the connection's."""

    def __init__(
        self, settings: DeviceSettings, channels: tuple[str, ...], publish: Publish | None = None
    ) -> None:
        self.settings = settings
        self.channels = channels
        self.boot = secrets.token_hex(4)
        self.fed = 0  # readings taken; the number of the next
        self.unsent = 0
        self.bytes_down = 0  # of bundles and blobs
        self._levels = {"prefix": settings.prefix, "pipeline": settings.pipeline, "device": settings.device}
        self._cohort = settings.cohort
        self._slots = Slots(Path(settings.state))
        self._updater = self._updater_for(settings.cohort)
        self._running: _Running | None = None
        self._swapping = threading.Lock()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._blobs: dict[str, bytes] = {}
        self._wanted: set[str] = set()
        self._bundle: bytes | None = None
        self._early: deque[tuple[Times, Values]] = deque()  # readings that no model has seen
        self._early_values = 0
        self._stopping = threading.Event()
        self._worker = threading.Thread(target=self._follow, name=f"{settings.device}-updates", daemon=True)
        self._windows = 0
        self._confidence: deque[float] = deque(maxlen=HEALTH_WINDOWS)
        self.connection = Connection(
            settings.address,
            f"{settings.prefix}-{settings.pipeline}-{settings.device}",
            lambda message: self._inbox.put(partial(self._receive, message)),
            will=Will(topics.STATUS.of(**self._levels), topics.encode(topics.Status(online=False))),
            on_connect=self._say_status,
        )
        self._publish = publish or (lambda topic, payload: [self.connection.publish(topic, payload)])

    def _updater_for(self, cohort: str) -> Updater:
        return Updater(self._slots, self.settings.root.encode(), Scope(self.settings.pipeline, cohort))

    @property
    def version(self) -> int:
        """The version that runs; 0 before the first."""
        running = self._running
        return running.model.version if running else 0

    def start(self) -> None:
        """Take up the model on disk, connect, follow releases.

        Raises BrokerError if there is no way to the broker; a device that has a model runs without one,
        and goes on trying.
        """
        if model := self._installed():
            self._running = _Running(model, Windower(model.spec.cut))
        self.connection.subscribe(topics.COHORT.of(**self._levels))
        self.connection.subscribe(self._bundle_topic())
        self.connection.start(patient=self._running is not None)
        self._worker.start()

    def stop(self) -> None:
        self._stopping.set()
        self._inbox.put(lambda: None)
        if self.connection.connected:
            status = topics.encode(topics.Status(online=False, version=self.version, cohort=self._cohort))
            self.connection.publish(topics.STATUS.of(**self._levels), status, retain=True).wait_for_publish(2)
        self.connection.stop()
        if self._worker.is_alive():
            self._worker.join(10)

    # --- readings up ------------------------------------------------------------------------

    def feed(self, times: Times, values: Values) -> list[Sent]:
        """Readings (n,) ns, (n, channels), newer than all before: publish and predict."""
        if not len(times):
            return []
        payload = encode_telemetry(self.channels, times, values, self.boot, self.fed)
        self.fed += len(times)
        try:
            sent = self._publish(topics.TELEMETRY.of(**self._levels), payload)
        except BrokerError as error:
            self.unsent += len(times)
            log.warning("%s: readings not sent: %s", self.settings.device, error)
            sent = []
        with self._swapping:
            if self._running:
                self._predict(self._running, times, values)
            else:
                self._remember(times, values)
        return sent

    def _remember(self, times: Times, values: Values) -> None:
        self._early.append((times, values))
        self._early_values += values.size
        while self._early_values > EARLY:
            self._early_values -= self._early.popleft()[1].size

    def _predict(self, running: _Running, times: Times, values: Values) -> None:
        cut = running.windower.cut
        columns = [self.channels.index(name) for name in cut.channels]
        windows = running.windower.push(times, np.ascontiguousarray(values[:, columns], np.float32))
        if not len(windows) or running.failed:
            return
        logits = running.model.logits(windows.x)
        if not np.isfinite(logits).all():
            running.failed = True
            self._inbox.put(partial(self._go_back, running.model.version, "nan", "it gave NaN or infinity"))
            return
        self._say_predictions(running.model, windows, softmax(logits))

    def _say_predictions(self, model: Model, windows: Windows, p: np.ndarray) -> None:
        best = p.argmax(axis=1)
        classes = model.spec.classes
        said = [
            (int(end), classes[k], round(float(p[i, k]), 4))
            for i, (end, k) in enumerate(zip(windows.ends, best, strict=True))
        ]
        time_, klass, certainty = said[-1]
        message = topics.Prediction(time_, klass, certainty, model.version, said[:-1])
        self.connection.publish(topics.PREDICTION.of(**self._levels), topics.encode(message))
        self._confidence.extend(certainty for _, _, certainty in said)
        before, self._windows = self._windows, self._windows + len(said)
        if before // HEALTH_WINDOWS != self._windows // HEALTH_WINDOWS:
            self._report(topics.Report("health", time_, model.version))

    # --- models down ------------------------------------------------------------------------

    def _follow(self) -> None:
        """All that concerns models happens here, one thing after another: disk, tests, swaps."""
        while True:
            action = self._inbox.get()
            if self._stopping.is_set():
                return
            try:
                action()
            except OSError as error:
                log.error("%s: update not installed, disk: %s", self.settings.device, error)  # noqa: TRY400
                self._report_refusal(Refused("disk", str(error)))

    def _receive(self, message: Message) -> None:
        self.bytes_down += len(message.payload)
        if message.topic == topics.COHORT.of(**self._levels):
            self._join_cohort(message.payload)
        elif message.topic == self._bundle_topic():
            self._bundle = message.payload
            self._apply()
        elif (levels := topics.BLOB.levels(message.topic)) and levels["sha256"] in self._wanted:
            if not message.payload:
                return  # cleared by the publisher: a newer bundle follows
            if blobs.matches(message.payload, levels["sha256"]):
                self._blobs[levels["sha256"]] = message.payload
                if self._wanted <= self._blobs.keys():
                    self._apply()
            else:
                self._report_refusal(Refused("altered", f"blob {levels['sha256']} has other content"))

    def _join_cohort(self, payload: bytes) -> None:
        try:
            cohort = check_device_name(topics.decode(topics.Cohort, payload).cohort)
        except (ValueError, DataError) as error:
            log.warning("%s: cohort message not understood: %s", self.settings.device, error)
            return
        if cohort != self._cohort:
            self.connection.unsubscribe(self._bundle_topic())
            self._cohort, self._updater = cohort, self._updater_for(cohort)
            self.connection.subscribe(self._bundle_topic())

    def _bundle_topic(self) -> str:
        return topics.BUNDLE.of(**self._levels, cohort=self._cohort, slot="stable")

    def _apply(self) -> None:
        """Install what the bundle carries, or say why not; the model that runs goes on meanwhile."""
        if not self._bundle:
            return
        ready: list[Model] = []

        def self_test(installed: Installed) -> None:
            ready.append(self._tested(installed))

        try:
            self._updater.apply(self._bundle, self._blobs, wall(), self_test)
        except MissingBlobs as missing:
            self._want(set(missing.hashes))
            return
        except Refused as refused:
            self._report_refusal(refused)
        else:
            if ready:
                self._swap(ready[0])
        self._want(set())
        self._blobs.clear()

    def _want(self, hashes: set[str]) -> None:
        """Ask the broker for these blobs, and for no others any more."""
        for sha256 in self._wanted - hashes:
            self.connection.unsubscribe(topics.BLOB.of(**self._levels, sha256=sha256, n="0"))
        for sha256 in hashes - self._wanted:
            self.connection.subscribe(topics.BLOB.of(**self._levels, sha256=sha256, n="0"))
        self._wanted = hashes

    def _tested(self, installed: Installed) -> Model:
        """The release as a model that this device can feed; raises Refused."""
        model = Model.of(installed)
        if missing := set(model.spec.cut.channels) - set(self.channels):
            raise Refused("incompatible", f"this device has no {', '.join(sorted(missing))}")
        model.self_test()
        return model

    def _swap(self, model: Model) -> None:
        previous = self.version
        took = self._exchange(model)
        self._report(topics.Report("applied", wall(), model.version, previous, swap_us=took))
        self._say_status()

    def _exchange(self, model: Model | None) -> float:
        """From the next window on this model predicts, or none; returns the µs that feeding stood still."""
        with self._swapping:
            began = time.perf_counter_ns()
            now = self._running
            if model is None:
                self._running = None
            elif now and now.windower.cut == model.spec.cut:
                self._running = _Running(model, now.windower)
            else:
                self._running = _Running(model, self._windower(model.spec.cut))
            self._confidence.clear()
            return (time.perf_counter_ns() - began) / 1000

    def _windower(self, cut: Cut) -> Windower:
        """As if a model had been there from the first reading: windows are those that the service cuts."""
        windower = Windower(cut)
        columns = [self.channels.index(name) for name in cut.channels]
        for times, values in self._early:
            windower.push(times, np.ascontiguousarray(values[:, columns], np.float32))
        self._early.clear()
        self._early_values = 0
        return windower

    def _installed(self) -> Model | None:
        """The newest version on disk that still works."""
        while installed := self._slots.current():
            try:
                return self._tested(installed)
            except Exception as error:  # noqa: BLE001  whatever it is, the device must start
                log.warning("%s: version %s: %s", self.settings.device, installed.version, error)
                self._slots.fall_back(str(error))
        return None

    def _go_back(self, version: int, reason: str, detail: str) -> None:
        """From a version that failed, if it still runs, to the last good one, or none."""
        if self.version != version:
            return
        self._slots.fall_back(reason)
        self._exchange(self._installed())
        log.warning("%s: went back from version %d: %s", self.settings.device, version, detail)
        self._report(topics.Report("rolled_back", wall(), self.version, version, reason, detail))
        self._say_status()

    # --- what it says of itself -------------------------------------------------------------

    def _say_status(self) -> None:
        status = topics.Status(True, self.version, self._cohort, RUNTIME, self.boot)
        self.connection.publish(topics.STATUS.of(**self._levels), topics.encode(status), retain=True)

    def _report(self, report: topics.Report) -> None:
        report.readings, report.windows = self.fed, self._windows
        confidence = list(self._confidence)  # at once: `feed` appends on another thread
        report.mean_p = round(float(np.mean(confidence)), 4) if confidence else 0.0
        self.connection.publish(topics.REPORT.of(**self._levels), topics.encode(report))

    def _report_refusal(self, refused: Refused) -> None:
        log.warning("%s: %s", self.settings.device, refused)
        self._report(
            topics.Report(
                "rejected", wall(), self.version, reason=refused.reason, detail=refused.detail[:300]
            )
        )
