"""The publisher: what the registry has released is what the broker retains, signed.

A release is one retained message a cohort and slot, whatever the number of devices; graph and spec
are blobs beside it. At start, and when the broker comes back, what is retained is compared with the
registry and mended. The publisher also writes down what devices say of themselves.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from iot_stream import logs, topics
from iot_stream.artifact import trust
from iot_stream.clock import wall
from iot_stream.config import Config
from iot_stream.errors import BrokerError, IotStreamError, ModelError
from iot_stream.mqtt import Connection, Message
from iot_stream.presence import Presence
from iot_stream.release.homeassistant import Announcer
from iot_stream.release.shelf import Overtaken, Shelf
from iot_stream.release.steering import Steering
from iot_stream.store import Store
from iot_stream.store.registry import Command, Device, Version

log = logging.getLogger(__name__)

POLL_S = 0.2
LOOK_S = 2.0  # between two looks at how rollouts do, and whether anything must be signed again
SYNC_S = 10.0
WHO = "publisher"  # that decided


class Publisher:
    def __init__(self, config: Config, store: Store, keys_folder: Path) -> None:
        self._config, self._store = config, store
        self._registry, self._cohorts, self._rollouts = store.registry, store.cohorts, store.rollouts
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._presence = Presence(config.prefix, "publisher")
        self._reconnected = threading.Event()
        self._connection = Connection(
            config.address,
            f"{config.prefix}-publisher-{self._presence.instance}",
            self._inbox.put,
            will=self._presence.will,
            on_connect=self._reconnected.set,
        )
        self._shelf = Shelf(config.prefix, store, keys_folder, self._connection)
        home = config.homeassistant
        self._announcer = Announcer(config, home, store, self._connection) if home else None
        self._steering = {
            name: Steering(store, name, pipeline, self._shelf, self._tell_round)
            for name, pipeline in config.pipelines.items()
        }
        self._asked: dict[tuple[str, str], int] = {}  # cohort → the version that is to get a higher number
        self._look_again = 0.0  # on the monotonic clock
        self._assigned = dict.fromkeys(config.pipelines, 0)  # up to this assignment devices have been told

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping`; raises BrokerError if another publisher is at work on the same prefix."""
        if other := self._presence.other(self._config.address):
            raise self._presence.taken(other)
        self._connection.start()
        try:
            self._sync(stopping)
            self._presence.say_online(self._connection)
            self._connection.subscribe(self._presence.topic)
            log.info("publisher: at work at %s", self._config.address)
            for name in self._config.pipelines:
                for topic in (topics.STATUS, topics.REPORT, topics.BUNDLE, topics.BLOB):
                    self._connection.subscribe(topic.pattern(prefix=self._config.prefix, pipeline=name))
            if self._announcer:
                self._announcer.subscribe()
            while not stopping.is_set():
                if self._reconnected.is_set():
                    self._reconnected.clear()
                    if self._announcer:
                        self._announcer.begin_anew()
                    self._shelf.forget()
                    self._sync(stopping)
                    self._presence.say_online(self._connection)
                    self._mend()
                    self._tell_pinned()
                    self._assigned = dict.fromkeys(self._config.pipelines, 0)
                self._carry_out_commands()
                self._publish_new()
                if time.monotonic() >= self._look_again:
                    self._look_again = time.monotonic() + LOOK_S
                    self._look_after()
                    if self._announcer:
                        self._announcer.announce()
                self._tell_cohorts()
                self._listen(POLL_S)
        finally:
            self._presence.say_offline(self._connection)
            self._connection.stop()

    # --- the broker's state -----------------------------------------------------------------

    def _sync(self, stopping: threading.Event) -> None:
        """Hear all that is retained: a message to ourselves comes back behind it."""
        echo = f"{self._presence.topic}/sync/{self._presence.instance}"
        self._connection.subscribe(echo)
        self._connection.publish(echo, b"")
        deadline = wall() + int(SYNC_S * 1e9)
        while not stopping.is_set():
            try:
                message = self._inbox.get(timeout=0.2)
            except queue.Empty:
                if wall() > deadline:
                    raise BrokerError(
                        "the broker does not return our own message; may we publish under the prefix?"
                    ) from None
                continue
            if message.topic == echo:
                return
            self._take(message)

    def _mend(self) -> None:
        """What the broker retains becomes what the registry says."""
        for name in self._config.pipelines:
            for cohort in self._registry.cohorts(name):
                self._shelf.mend(name, cohort)

    # --- releases ---------------------------------------------------------------------------

    def _publish_new(self) -> None:
        """Versions that came since the last."""
        for name, cohort in self._all_cohorts():
            newest = self._registry.newest(name, cohort)
            carried = self._registry.released(name, cohort, trust.STABLE, 1)
            rollout = self._rollouts.last(name, cohort)
            waits = rollout is not None and rollout.under_way  # its turn comes when that is over
            if newest is None or newest.version <= max(carried, default=0):
                continue
            back = self._registry.brought_back(name, cohort, max(carried, default=0))
            if back is not None or not waits:
                with self._taking_over(name, cohort):
                    self._steering[name].bring(back or newest)

    def _look_after(self) -> None:
        """What is out already: rollouts go on or are called off, bundles are signed again in time."""
        self._shelf.keys_changed()
        for name, cohort in self._all_cohorts():
            with self._taking_over(name, cohort):
                if (taken := self._shelf.taken(name, cohort)) > self._registry.highest(name, cohort):
                    raise Overtaken(taken)
                if rollout := self._rollouts.last(name, cohort):
                    if not self._steering[name].published(rollout):
                        self._steering[name].publish(rollout)
                    self._steering[name].steer(rollout)
                for slot in trust.SLOTS:
                    if why := self._shelf.due(name, cohort, slot):
                        extra = logs.about(pipeline=name, cohort=cohort)
                        log.info("%s/%s/%s: signed again: %s", name, cohort, slot, why, extra=extra)
                        self._sign_again(name, cohort, slot)

    def _all_cohorts(self) -> list[tuple[str, str]]:
        return [(name, cohort) for name in self._config.pipelines for cohort in self._registry.cohorts(name)]

    def _sign_again(self, name: str, cohort: str, slot: str) -> None:
        (number,) = self._registry.released(name, cohort, slot, 1)
        if version := self._registry.version(name, cohort, number):
            self._shelf.put(version, slot, self._shelf.audience(name, cohort, slot))

    @contextmanager
    def _taking_over(self, name: str, cohort: str) -> Iterator[None]:
        """Where devices have heard of higher numbers, the registry comes from a backup: its newest version
        goes out again under a number that they take, which the distiller gives it."""
        try:
            yield
        except Overtaken as overtaken:
            newest = self._registry.newest(name, cohort)
            if newest is None or self._asked.get((name, cohort)) == newest.version:
                return
            if newest.version > overtaken.above:  # given meanwhile
                return
            why = f"devices have heard of version {overtaken.above}, the registry has not"
            log.warning("%s/%s: %s", name, cohort, why, extra=logs.about(pipeline=name, cohort=cohort))
            self._steering[name].supersede(cohort, why)
            self._asked[name, cohort] = newest.version
            self._registry.command(
                "publisher",
                "rollback",
                name,
                version=newest.version,
                cohort=cohort,
                above=overtaken.above,
            )

    def _carry_out_commands(self) -> None:
        for command in self._registry.open_commands("rollout", "forget", "pin"):
            if command.pipeline in self._steering:
                self._carry_out(command)
                self._look_again = 0.0

    def _carry_out(self, command: Command) -> None:
        arguments = command.arguments
        try:
            if command.kind == "forget":
                outcome = self._forget_device(command.pipeline, arguments["device"])
            elif command.kind == "pin":
                outcome = self._pin(command.pipeline, **arguments)
            else:
                outcome = self._steering[command.pipeline].carry_out(
                    arguments["action"], arguments["cohort"], arguments["person"], arguments["why"]
                )
        except (IotStreamError, KeyError, TypeError) as error:
            self._registry.close_command(command.id, "failed", str(error))
        else:
            self._registry.close_command(command.id, "done", outcome)

    def _tell_round(self, version: Version, size: int, whom: str) -> None:
        name, cohort = version.pipeline, version.cohort
        detail = f"{size} bytes {whom}"
        event = topics.RoundEvent(
            "released", version.round, wall(), cohort, version=version.version, detail=detail
        )
        topic = topics.ROUND.of(prefix=self._config.prefix, pipeline=name, round=version.round)
        self._connection.publish(topic, topics.encode(event))
        extra = logs.about(pipeline=name, cohort=cohort, round=version.round, version=version.version)
        log.info("%s/%s: version %d released, %s", name, cohort, version.version, detail, extra=extra)

    # --- devices ----------------------------------------------------------------------------

    def _listen(self, wait_s: float) -> None:
        try:
            self._take(self._inbox.get(timeout=wait_s))
            while True:
                self._take(self._inbox.get_nowait())
        except queue.Empty:
            return

    def _take(self, message: Message) -> None:
        self._presence.answer(message, self._connection)
        self._shelf.heard(message)
        if self._announcer:
            self._announcer.heard(message)
        try:
            if not message.payload:
                return  # what was retained has been cleared
            if levels := topics.STATUS.levels(message.topic):
                self._status(levels, message.payload)
            elif levels := topics.REPORT.levels(message.topic):
                report = topics.decode(topics.Report, message.payload)
                self._registry.add_event(
                    levels["pipeline"],
                    levels["device"],
                    report.event,
                    report.version,
                    report.time,
                    message.payload.decode(),
                )
        except msgspec.DecodeError as error:
            log.warning("%s: not understood: %s", message.topic, error)

    def _status(self, levels: dict[str, str], payload: bytes) -> None:
        status = topics.decode(topics.Status, payload)
        self._shelf.says(levels["pipeline"], levels["device"], status)
        known = self._registry.device(levels["pipeline"], levels["device"])
        cohort = status.cohort or (known.cohort if known else "all")
        version = status.version or (known.version if known else 0)
        device = Device(levels["device"], cohort, status.online, version, wall())
        self._registry.save_device(levels["pipeline"], device, payload.decode())
        if status.online and status.pinned and (known is None or known.pinned is None):
            self._believe_pinned(levels["pipeline"], device)
        if known is None or (status.online and known.pinned is not None and known.pinned != status.pinned):
            self._tell_cohort(levels["pipeline"], device.device, self._cohort_of(levels, cohort))

    def _believe_pinned(self, pipeline: str, device: Device) -> None:
        """Of a device that was pinned after the backup was made from which the registry came back."""
        log.warning("%s: %s says that it is pinned; it stays so", pipeline, device.device)
        why = "it says so itself, and nothing here says otherwise"
        with self._store.write() as tx:
            self._registry.pin(tx, pipeline, device.device, pinned=True)
            what = f"{device.device} pinned"
            self._rollouts.decide(tx, pipeline, device.cohort, device.version, WHO, what, why)

    def _pin(self, pipeline: str, device: str, pinned: bool, person: str, why: str) -> str:
        """A device stays at its version, or follows releases again."""
        known = self._registry.device(pipeline, device)
        if known is None:
            raise ModelError(f"no device {device} of {pipeline} has connected yet")
        if bool(known.pinned) == pinned:
            raise ModelError(f"{device} is {'' if pinned else 'not '}pinned{' already' if pinned else ''}")
        what = f"{device} {'pinned' if pinned else 'unpinned'}"
        with self._store.write() as tx:
            self._registry.pin(tx, pipeline, device, pinned=pinned)
            self._rollouts.decide(tx, pipeline, known.cohort, known.version, person, what, why)
        self._tell_cohort(pipeline, device, self._cohorts.members(pipeline).get(device, known.cohort))
        if pinned:
            return f"{device} stays at version {known.version}" if known.version else f"{what}: at its first"
        return f"{device} follows the releases of its cohort again"

    def _forget_device(self, pipeline: str, name: str) -> str:
        """A device that will not come back: nothing of it stays on the broker."""
        known = self._registry.device(pipeline, name)
        if known is None:
            raise ModelError(
                f"no device {name} of {pipeline} has run a model; `iot-stream device list` shows those that "
                "have. What is only heard goes with its readings, by `retention`"
            )
        if known.online:
            raise ModelError(f"{name} is online, and would be back at once; stop it first")
        self._registry.forget_device(pipeline, name)
        self._shelf.gone(pipeline, name)
        for topic in (topics.STATUS, topics.COHORT):
            place = topic.of(prefix=self._config.prefix, pipeline=pipeline, device=name)
            self._connection.publish(place, b"", retain=True)
        if self._announcer:
            self._announcer.remove(pipeline, name)
        return f"{name} is forgotten"

    def _cohort_of(self, levels: dict[str, str], otherwise: str) -> str:
        return self._cohorts.members(levels["pipeline"]).get(levels["device"], otherwise)

    def _tell_cohorts(self) -> None:
        """Devices whose cohort is another now; all of them when the broker may have forgotten."""
        for name in self._config.pipelines:
            news = {each.device: each for each in self._cohorts.assignments(name, self._assigned[name])}
            for device, each in news.items():
                self._tell_cohort(name, device, each.cohort)
                self._assigned[name] = max(self._assigned[name], each.id)

    def _tell_pinned(self) -> None:
        for name in self._config.pipelines:
            members = self._cohorts.members(name)
            for known in self._registry.devices(name):
                if known.pinned:
                    self._tell_cohort(name, known.device, members.get(known.device, known.cohort))

    def _tell_cohort(self, pipeline: str, device: str, cohort: str) -> None:
        topic = topics.COHORT.of(prefix=self._config.prefix, pipeline=pipeline, device=device)
        known = self._registry.device(pipeline, device)
        message = topics.Cohort(cohort, bool(known and known.pinned))
        self._connection.publish(topic, topics.encode(message), retain=True)
