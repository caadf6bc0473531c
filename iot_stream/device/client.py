"""The device: readings go up, a model comes down, and no reading is missed in between.

`feed` takes readings from whoever reads the sensor, publishes them, and says what the model that
runs makes of each window. Releases are verified, loaded and tested on a thread of their own.
"""

import logging
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from iot_stream import logs, topics
from iot_stream.clock import wall
from iot_stream.device.following import Following
from iot_stream.device.model import Model
from iot_stream.device.outbox import Outbox, Sent
from iot_stream.device.predicting import Predictor, Said, Word, changes
from iot_stream.device.runtime import choose
from iot_stream.device.settings import DeviceSettings
from iot_stream.device.slots import Installed, Slots
from iot_stream.errors import BrokerError, Refused
from iot_stream.formats.telemetry import encode as encode_telemetry
from iot_stream.mqtt import Connection, Message, Will
from iot_stream.readings import Times, Values

if TYPE_CHECKING:
    from iot_stream.device.sampling import Sampler

log = logging.getLogger(__name__)

HEALTH_WINDOWS = 500
CRASHES = 3  # of the process while a version was tried, after which it is left


Publish = Callable[[str, bytes], list[Sent]]


class DeviceClient:
    """`publish` sends telemetry (the simulator puts its faults there); the default is the outbox.

    Raises ConfigError for a runtime that cannot be loaded.
    """

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
        self._runtime = choose(settings.runtime).name
        self._slots = Slots(Path(settings.state))
        self._predictor = Predictor(channels, settings.health)
        self._sampler = _sampler(settings, channels)
        self._told = ""  # the class that was last said
        self.connection = Connection(
            settings.address,
            f"{settings.prefix}-{settings.pipeline}-{settings.device}",
            self._hear,
            will=Will(topics.STATUS.of(**self._levels), topics.encode(topics.Status(online=False))),
            on_connect=self.say_status,
            max_packet=settings.max_packet,
        )
        self._following = Following(settings, self._slots, self.connection, self)
        outbox = Path(settings.state) / "outbox"
        self._outbox = Outbox(outbox, settings.outbox, self.connection, settings.device)
        self._publish = publish or self._put

    @property
    def version(self) -> int:
        """The version that runs; 0 before the first."""
        return self._predictor.version

    def start(self) -> None:
        """Take up the model on disk, connect, follow releases.

        Raises BrokerError if there is no way to the broker; a device that has a model runs without one,
        and goes on trying.
        """
        model = self._installed()
        self._predictor.exchange(model)
        self._following.subscribe()
        self.connection.start(patient=model is not None)
        self._outbox.start()
        self._following.start()
        first = f"runs version {self.version}" if self.version else "waits for its first version"
        log.info("%s: %s", self.settings.device, first)

    def stop(self) -> None:
        self._following.stop()
        if self._sampler and (message := self._sampler.rest()):
            self._put(topics.SAMPLE.of(**self._levels), message)
        if self.connection.connected:
            status = topics.Status(online=False, version=self.version, cohort=self._following.cohort)
            topic = topics.STATUS.of(**self._levels)
            self.connection.publish(topic, topics.encode(status), retain=True).wait_for_publish(2)
        self.connection.stop()
        self._following.join()
        self._outbox.stop()

    # --- readings up ------------------------------------------------------------------------

    def feed(self, times: Times, values: Values) -> list[Sent]:
        """Readings (n,) ns, (n, channels), newer than all before: publish and predict.

        Returns what `publish` did.
        """
        if not len(times):
            return []
        sent = self._send(times, values) if self.settings.publishes and not self._sampler else []
        self.fed += len(times)
        before = self._predictor.windows
        said = self._predictor.feed(times, values)
        if said:
            self._say(said, before)
        if self._sampler and (message := self._sampler.feed(times, values, said)):
            self._publish(topics.SAMPLE.of(**self._levels), message)
        return sent

    def _send(self, times: Times, values: Values) -> list[Sent]:
        payload = encode_telemetry(self.channels, times, values, self.boot, self.fed)
        try:
            return self._publish(topics.TELEMETRY.of(**self._levels), payload)
        except BrokerError as error:
            self.unsent += len(times)
            self._warn(0, "readings not sent: %s", error)
            return []

    def _put(self, topic: str, payload: bytes) -> list[Sent]:
        self._outbox.put(topic, payload)
        return []

    def _say(self, said: Said, before: int) -> None:
        if said.windows:
            time, klass, _ = said.windows[-1]
            # Where links cost, what is news; the rest goes with a sample's windows.
            news = changes(said.windows, self._told) if self._sampler else said.windows
            if news and self._predicted(said.version, news):
                self._told = klass
            if before // HEALTH_WINDOWS != self._predictor.windows // HEALTH_WINDOWS:
                self._report(topics.Report("health", time, said.version))
        if said.complaint:
            self._following.soon(
                partial(self._go_back, said.version, said.complaint.reason, said.complaint.detail)
            )

    def _predicted(self, version: int, windows: list[Word]) -> bool:
        """Whether that went up."""
        *earlier, (time, klass, certainty) = windows
        payload = topics.encode(topics.Prediction(time, klass, certainty, version, earlier))
        if self._sampler and not self._sampler.affords(len(payload), time):
            return False
        self._outbox.put(topics.PREDICTION.of(**self._levels), payload)
        return True

    # --- models down: on the thread that follows releases --------------------------------------

    def _hear(self, message: Message) -> None:
        self.bytes_down += len(message.payload)
        self._following.hear(message)

    def tested(self, installed: Installed) -> Model:
        """The release as a model that this device can feed; raises Refused."""
        with self._slots.trying(installed.version):
            model = Model.of(installed, self.settings.runtime)
            if missing := set(model.spec.cut.channels) - set(self.channels):
                raise Refused("incompatible", f"this device has no {', '.join(sorted(missing))}")
            model.self_test()
        return model

    def take(self, model: Model) -> None:
        previous = self.version
        took = self._predictor.exchange(model)
        log.info("%s: runs version %d", self.settings.device, model.version)
        self._report(topics.Report("applied", wall(), model.version, previous, swap_us=took))
        self.say_status()

    def refused(self, refused: Refused) -> None:
        self._warn(refused.version, "%s", refused)
        self._report(
            topics.Report(
                "rejected",
                wall(),
                self.version,
                offered=refused.version,
                reason=refused.reason,
                detail=refused.detail[:300],
            )
        )

    def _installed(self) -> Model | None:
        """The newest version on disk that still works."""
        while installed := self._slots.current():
            crashes = self._slots.crashes(installed.version)
            if crashes >= CRASHES:
                died = f"the process died {crashes} times while it tried it"
                self._leave(installed.version, "crash_loop", died)
                continue
            try:
                return self.tested(installed)
            except Exception as error:  # noqa: BLE001  whatever it is, the device must start
                self._leave(installed.version, "self_test", str(error))
        return None

    def _leave(self, version: int, reason: str, detail: str) -> None:
        """For the version before it, which is to be tested still."""
        fallen = self._slots.fall_back(reason)
        self._warn(version, "went back from version %d: %s", version, detail)
        now = fallen.version if fallen else 0
        self._report(topics.Report("rolled_back", wall(), now, version, reason=reason, detail=detail[:300]))

    def _go_back(self, version: int, reason: str, detail: str) -> None:
        """From a version that failed, if it still runs, to the last good one, or none."""
        if self.version != version:
            return
        self._leave(version, reason, detail)
        self._predictor.exchange(self._installed())
        self.say_status()

    def _warn(self, version: int, what: str, *values: object) -> None:
        settings = self.settings
        extra = logs.about(pipeline=settings.pipeline, device=settings.device, version=version)
        log.warning(f"%s: {what}", settings.device, *values, extra=extra)

    # --- what it says of itself -------------------------------------------------------------

    def say_status(self) -> None:
        status = topics.Status(
            True,
            self.version,
            self._following.cohort,
            self._runtime,
            self.boot,
            self.settings.max_packet,
            self._following.signings,
            self._following.pinned,
        )
        self.connection.publish(topics.STATUS.of(**self._levels), topics.encode(status), retain=True)

    def _report(self, report: topics.Report) -> None:
        health = self._predictor.health
        report.readings, report.windows = self.fed, self._predictor.windows
        report.mean_p, report.infer_us = round(health.mean_p, 4), round(health.infer_us, 1)
        topic, payload = topics.REPORT.of(**self._levels), topics.encode(report)
        if self.connection.connected:  # not behind readings of hours: a rollout waits for it
            self.connection.publish(topic, payload)
        else:
            self._outbox.put(topic, payload)


def _sampler(settings: DeviceSettings, channels: tuple[str, ...]) -> "Sampler | None":
    """Only a device on a link that costs has the memory of one."""
    if settings.upload is None:
        return None
    from iot_stream.device.sampling import Sampler

    return Sampler(settings.upload, channels, settings.device)
