"""The publisher: what the registry has released is what the broker retains, signed.

A release is one retained message a cohort and slot, whatever the number of devices; graph and spec
are blobs beside it. At start, and when the broker comes back, what is retained is compared with the
registry and mended. The publisher also writes down what devices say of themselves.
"""

import logging
import queue
import threading
from pathlib import Path

import msgspec

from iot_stream import topics
from iot_stream.artifact import trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import wall
from iot_stream.config import Config
from iot_stream.errors import BrokerError, ConfigError, Refused
from iot_stream.mqtt import Connection, Message
from iot_stream.presence import Presence
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle, release_targets, renew_due
from iot_stream.store import Store
from iot_stream.store.registry import Device, Version

log = logging.getLogger(__name__)

SLOT = "stable"
POLL_S = 0.2
SYNC_S = 10.0


class Publisher:
    def __init__(self, config: Config, store: Store, keys_folder: Path) -> None:
        self._config = config
        self._registry, self._cohorts = store.registry, store.cohorts
        self._keys = Keys.load(keys_folder)
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
        self._retained: dict[str, bytes] = {}
        self._assigned = dict.fromkeys(config.pipelines, 0)  # up to this assignment devices have been told

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping`; raises BrokerError if another publisher is at work on the same prefix."""
        self._connection.subscribe(topics.SERVICE.of(prefix=self._config.prefix, part="publisher"))
        self._connection.start()
        try:
            self._refuse_a_second(stopping)
            self._presence.say_online(self._connection)
            for name in self._config.pipelines:
                for topic in (topics.STATUS, topics.REPORT, topics.BUNDLE, topics.BLOB):
                    self._connection.subscribe(topic.pattern(prefix=self._config.prefix, pipeline=name))
            while not stopping.is_set():
                if self._reconnected.is_set():
                    self._reconnected.clear()
                    self._retained.clear()  # the broker may have come back without it
                    self._presence.say_online(self._connection)
                    self._sync(stopping)
                    self._mend()
                    self._assigned = dict.fromkeys(self._config.pipelines, 0)
                self._publish_new()
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

    def _refuse_a_second(self, stopping: threading.Event) -> None:
        self._sync(stopping)
        payload = self._retained.get(self._presence.topic)
        if not payload:
            return
        try:
            other = topics.decode(topics.Service, payload)
        except msgspec.DecodeError:
            return
        if other.online and other.instance != self._presence.instance:
            raise BrokerError(
                f"a publisher is at work on prefix {self._config.prefix!r}: {other.instance} "
                f"on {other.host}; stop it, or choose another `prefix`"
            )

    def _mend(self) -> None:
        """What the broker retains becomes what the registry says."""
        for name in self._config.pipelines:
            for cohort in self._registry.cohorts(name):
                release = self._registry.release(name, cohort, SLOT)
                if release is None:
                    continue
                topic = self._bundle_topic(name, cohort)
                if self._retained.get(topic) != release[1]:
                    log.info("%s: mending what the broker retains", topic)
                    self._send(name, cohort, self._version(name, cohort, release[0]), release[1])

    def _version(self, pipeline: str, cohort: str, number: int) -> Version:
        return next(v for v in self._registry.versions(pipeline, cohort) if v.version == number)

    def _bundle_topic(self, pipeline: str, cohort: str) -> str:
        return topics.BUNDLE.of(prefix=self._config.prefix, pipeline=pipeline, cohort=cohort, slot=SLOT)

    # --- releases ---------------------------------------------------------------------------

    def _publish_new(self) -> None:
        for name in self._config.pipelines:
            for cohort in self._registry.cohorts(name):
                newest = self._registry.newest(name, cohort)
                release = self._registry.release(name, cohort, SLOT)
                if newest is None:
                    continue
                if release is None or release[0] < newest.version:
                    self._release(name, cohort, newest)
                elif renew_due(trust.unpack_bundle(release[1]), wall()):
                    self._release(name, cohort, newest, renew=True)

    def _release(self, pipeline: str, cohort: str, version: Version, renew: bool = False) -> None:
        """Sign, keep, publish: in this order, so that a crash in between is mended at the next start."""
        repository = self._repository(pipeline, cohort)
        targets = self._targets(version)
        now = wall()
        entries = repository.renew(now) if renew else repository.release(version.version, targets, now)
        message, _ = bundle(entries, targets)
        self._registry.save_release(pipeline, cohort, SLOT, version.version, message)
        self._send(pipeline, cohort, version, message)
        if not renew:
            self._clear_superseded(pipeline)
            self._tell_round(pipeline, version, len(message))

    def _repository(self, pipeline: str, cohort: str) -> Repository:
        """Goes on from the highest that was ever signed: ours, or the broker's if our registry is older."""
        scope = Scope(pipeline, cohort, SLOT)
        release = self._registry.release(pipeline, cohort, SLOT)
        candidates = [Repository(self._keys, scope, trust.unpack_bundle(release[1]) if release else None)]
        retained = self._retained.get(self._bundle_topic(pipeline, cohort))
        if retained:
            try:
                candidates.append(Repository(self._keys, scope, trust.unpack_bundle(retained)))
            except (ConfigError, Refused) as error:
                log.warning(
                    "what is retained at %s is not ours: %s", self._bundle_topic(pipeline, cohort), error
                )
        return max(candidates, key=lambda repository: repository.signings)

    def _targets(self, version: Version) -> dict[str, Target]:
        artifact = self._registry.artifact
        return release_targets(
            artifact(version.graph),
            artifact(version.spec),
            artifact(version.weights),
            version.encoding,
            version.round,
            str(version.provenance.get("gate", {}).get("reason", "")),
        )

    def _send(self, pipeline: str, cohort: str, version: Version, message: bytes) -> None:
        """Blobs that the broker does not retain yet, then the bundle that names them."""
        _, blobs = bundle({}, self._targets(version))
        for address, content in blobs.items():
            topic = topics.BLOB.of(prefix=self._config.prefix, pipeline=pipeline, sha256=address, n="0")
            if self._retained.get(topic) != content:
                self._connection.publish_and_wait(topic, content, retain=True)
                self._retained[topic] = content
        topic = self._bundle_topic(pipeline, cohort)
        self._connection.publish_and_wait(topic, message, retain=True)
        self._retained[topic] = message

    def _clear_superseded(self, pipeline: str) -> None:
        """Blobs that neither of a cohort's last two versions needs; a device in mid-update has those."""
        last = [v for cohort in self._registry.cohorts(pipeline) for v in self._last_two(pipeline, cohort)]
        needed = {a for v in last for a in (v.graph, v.spec, v.weights)}
        for topic in [t for t, content in self._retained.items() if content]:
            levels = topics.BLOB.levels(topic)
            if levels and levels["pipeline"] == pipeline and levels["sha256"] not in needed:
                self._connection.publish_and_wait(topic, b"", retain=True)
                self._retained[topic] = b""

    def _last_two(self, pipeline: str, cohort: str) -> list[Version]:
        return self._registry.versions(pipeline, cohort)[-2:]

    def _tell_round(self, pipeline: str, version: Version, size: int) -> None:
        event = topics.RoundEvent(
            "released", version.round, wall(), version.cohort, version=version.version, detail=f"{size} bytes"
        )
        topic = topics.ROUND.of(prefix=self._config.prefix, pipeline=pipeline, round=version.round)
        self._connection.publish(topic, topics.encode(event))
        log.info("%s/%s: version %d released, %d bytes", pipeline, version.cohort, version.version, size)

    # --- devices ----------------------------------------------------------------------------

    def _listen(self, wait_s: float) -> None:
        try:
            self._take(self._inbox.get(timeout=wait_s))
            while True:
                self._take(self._inbox.get_nowait())
        except queue.Empty:
            return

    def _take(self, message: Message) -> None:
        if message.retained:
            self._retained[message.topic] = message.payload
        try:
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
        known = {d.device: d for d in self._registry.devices(levels["pipeline"])}.get(levels["device"])
        cohort = status.cohort or (known.cohort if known else "all")
        version = status.version or (known.version if known else 0)
        device = Device(levels["device"], cohort, status.online, version, wall())
        self._registry.save_device(levels["pipeline"], device, payload.decode())
        if known is None:
            self._tell_cohort(levels["pipeline"], device.device, self._cohort_of(levels, cohort))

    def _cohort_of(self, levels: dict[str, str], otherwise: str) -> str:
        return self._cohorts.members(levels["pipeline"]).get(levels["device"], otherwise)

    def _tell_cohorts(self) -> None:
        """Devices whose cohort is another now; all of them when the broker may have forgotten."""
        for name in self._config.pipelines:
            news = {each.device: each for each in self._cohorts.assignments(name, self._assigned[name])}
            for device, each in news.items():
                self._tell_cohort(name, device, each.cohort)
                self._assigned[name] = max(self._assigned[name], each.id)

    def _tell_cohort(self, pipeline: str, device: str, cohort: str) -> None:
        topic = topics.COHORT.of(prefix=self._config.prefix, pipeline=pipeline, device=device)
        self._connection.publish(topic, topics.encode(topics.Cohort(cohort)), retain=True)
