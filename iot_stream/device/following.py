"""Following a cohort's releases: what the broker brings becomes a tested model, or a refusal with its reason.

All that concerns models and the disk happens on one thread, one thing after the other.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Protocol

import msgspec

from iot_stream import topics
from iot_stream.artifact import blobs, trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import wall
from iot_stream.device.fetching import Fetching
from iot_stream.device.model import Model
from iot_stream.device.settings import DeviceSettings
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import DataError, Refused
from iot_stream.mqtt import Connection, Message
from iot_stream.readings import check_device_name

log = logging.getLogger(__name__)


class Follower(Protocol):
    """Who runs the models."""

    def tested(self, installed: Installed) -> Model:
        """A release as a model that can be run; raises Refused."""
        ...

    def take(self, model: Model) -> None:
        """It is on disk; run it from now on."""
        ...

    def refused(self, refused: Refused) -> None: ...

    def say_status(self) -> None: ...


class Following:
    """Nothing happens before `start`; messages come by `hear`, from any thread."""

    def __init__(
        self, settings: DeviceSettings, slots: Slots, connection: Connection, follower: Follower
    ) -> None:
        self._settings, self._slots, self._follower = settings, slots, follower
        self._connection = connection
        self._levels = {"prefix": settings.prefix, "pipeline": settings.pipeline, "device": settings.device}
        self.cohort = settings.cohort
        self._updater = self._updater_for(settings.cohort)
        self._fetching = Fetching(self._levels, connection.subscribe, connection.unsubscribe)
        self._blobs: dict[str, bytes] = {}
        self._bundles: dict[str, bytes] = {}  # the newest of each slot
        self._applying = trust.STABLE  # the slot whose blobs are being fetched
        self.pinned = slots.state().pinned
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = threading.Event()
        self._worker = threading.Thread(target=self._work, name=f"{settings.device}-updates", daemon=True)

    @property
    def signings(self) -> dict[str, int]:
        """Slot → the highest count of signings that the device has seen there."""
        return self._updater.signings

    def subscribe(self) -> None:
        self._connection.subscribe(topics.COHORT.of(**self._levels))
        for topic in self._bundle_topics():
            self._connection.subscribe(topic)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._stopping.set()
        self._inbox.put(lambda: None)

    def join(self) -> None:
        if self._worker.is_alive():
            self._worker.join(10)

    def hear(self, message: Message) -> None:
        self._inbox.put(partial(self._receive, message))

    def soon(self, action: Callable[[], None]) -> None:
        """Do it on the thread of models and disk."""
        self._inbox.put(action)

    def _work(self) -> None:
        while True:
            action = self._inbox.get()
            if self._stopping.is_set():
                return
            try:
                action()
            except OSError as error:
                log.error("%s: update not installed, disk: %s", self._settings.device, error)  # noqa: TRY400
                self._follower.refused(Refused("disk", str(error)))

    def _receive(self, message: Message) -> None:
        if message.topic == topics.COHORT.of(**self._levels):
            self._told(message.payload)
        elif slot := self._bundle_topics().get(message.topic):
            self._bundles[slot] = message.payload
            self._apply(slot)
        elif message.payload and self._fetching.piece(message.topic):  # else: cleared, a newer bundle follows
            self._take_piece(message)

    def _take_piece(self, message: Message) -> None:
        piece = self._fetching.piece(message.topic)
        if piece is None or not blobs.matches(message.payload, piece.sha256):
            self._follower.refused(Refused("altered", f"{message.topic} has other content"))
            return
        if piece.sha256 == piece.artifact:
            self._blobs[piece.sha256] = message.payload
        else:
            self._slots.keep_part(piece.sha256, message.payload)
        if self._fetching.came(message.topic):
            self._apply(self._applying)

    def _told(self, payload: bytes) -> None:
        """By the service: whose releases to follow, and whether to take them."""
        if not payload:  # cleared
            return
        try:
            told = topics.decode(topics.Cohort, payload)
            cohort = check_device_name(told.cohort)
        except (ValueError, DataError) as error:
            log.warning("%s: cohort message not understood: %s", self._settings.device, error)
            return
        self._join_cohort(cohort)
        if told.pinned != self.pinned:
            self.pinned = told.pinned  # also where the disk takes nothing
            self._follower.say_status()
            self._slots.commit(msgspec.structs.replace(self._slots.state(), pinned=told.pinned))
            what = "stays at its version" if told.pinned else "follows releases again"
            log.info("%s: %s", self._settings.device, what)
            if self._staying:
                self._fetching.want(())
            for slot in trust.SLOTS:
                self._apply(slot)

    @property
    def _staying(self) -> bool:
        """Pinned, and not waiting for a first version."""
        return self.pinned and self._slots.running() is not None

    def _join_cohort(self, cohort: str) -> None:
        if cohort != self.cohort:
            for topic in self._bundle_topics():
                self._connection.unsubscribe(topic)
            self._bundles.clear()
            self.cohort, self._updater = cohort, self._updater_for(cohort)
            for topic in self._bundle_topics():
                self._connection.subscribe(topic)

    def _bundle_topics(self) -> dict[str, str]:
        """Topic → slot."""
        return {topics.BUNDLE.of(**self._levels, cohort=self.cohort, slot=slot): slot for slot in trust.SLOTS}

    def _updater_for(self, cohort: str) -> Updater:
        root, scope = self._settings.root.encode(), Scope(self._settings.pipeline, cohort)
        return Updater(self._slots, root, scope, self._settings.device)

    def _apply(self, slot: str) -> None:
        """Install what the bundle carries, or say why not; the model that runs goes on meanwhile."""
        if not self._bundles.get(slot) or self._staying:
            return
        ready: list[Model] = []

        def self_test(installed: Installed) -> None:
            ready.append(self._follower.tested(installed))

        try:
            self._updater.apply(self._bundles[slot], self._blobs, wall(), self_test, slot)
        except MissingBlobs as missing:
            self._applying = slot
            self._fetching.want(missing.pieces)
            return
        except Refused as refused:
            self._follower.refused(refused)
            if slot != self._applying:  # what the other slot's release lacks is still on its way
                return
        else:
            if ready:
                self._follower.take(ready[0])
            if slot != self._applying:  # is what it lacks still wanted?
                self._apply(self._applying)
                return
        self._fetching.want(())
        self._blobs.clear()
