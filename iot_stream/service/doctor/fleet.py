"""What runs: parts, releases as devices would take them, and how old the newest reading is."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from iot_stream import topics
from iot_stream.artifact import trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND, iso, wall
from iot_stream.config import Config, Pipeline
from iot_stream.errors import BrokerError, ConfigError, IotStreamError, Refused
from iot_stream.mqtt import Connection, Message
from iot_stream.readings import spoken_name
from iot_stream.release.keys import Keys
from iot_stream.service.doctor.findings import Finding, failed, ok, warn
from iot_stream.store import Store
from iot_stream.store.sqlite import FILE

PARTS = ("collector", "distiller", "publisher")
AHEAD, STALE = 60 * SECOND, 3600 * SECOND
PATIENCE_S = 5.0
LOOKED_AT, NAMED = 50, 5  # devices
ENOUGH = 10  # predictions, or windows


def check(config: Config, path: Path) -> Iterator[Finding]:
    try:
        retained = _retained(config)
    except BrokerError:
        return  # which the broker's own check says
    yield from _parts(retained, path)
    yield from _bundles(config, retained)
    yield from _readings(config)


def _retained(config: Config) -> dict[str, bytes]:
    """Presences and bundles: a message to ourselves comes behind all that is retained."""
    found: dict[str, bytes] = {}
    done = threading.Event()
    end = f"{topics.SERVICE.of(prefix=config.prefix, part='doctor')}/retained-end"

    def hear(message: Message) -> None:
        if message.topic == end:
            done.set()
        elif message.payload:
            found[message.topic] = message.payload

    connection = Connection(
        config.as_part("doctor").address, f"{config.prefix}-doctor-fleet-{wall():x}", hear
    )
    for topic in (topics.SERVICE, topics.BUNDLE):
        connection.subscribe(topic.pattern(prefix=config.prefix))
    connection.subscribe(end)
    connection.start()
    try:
        connection.publish_and_wait(end, b"")
        done.wait(PATIENCE_S)
    finally:
        connection.stop()
    return found


def _parts(retained: dict[str, bytes], path: Path) -> Iterator[Finding]:
    said, changed = {}, path.stat().st_mtime_ns
    for topic, payload in retained.items():
        if levels := topics.SERVICE.levels(topic):
            try:
                said[levels["part"]] = topics.decode(topics.Service, payload)
            except msgspec.DecodeError as error:
                yield warn("parts", f"{topic}: not understood: {error}", "who writes there? see `broker-acl`")
    for part in PARTS:
        running = {name: each for name, each in said.items() if name.split("-")[0] == part and each.online}
        if not running:
            ended = said.get(part)
            # A Last Will is of when it began: it cannot be told from what a part says itself at its end.
            when = f"was there at {iso(ended.since)}, and is not any more" if ended else "was never there"
            yield failed(f"parts.{part}", when, "`iot-stream serve`, and look at what it says")
        for name, each in running.items():
            if each.fault:
                yield failed(f"parts.{name}", each.fault, "mend that; it goes on by itself")
            elif each.since > wall() + AHEAD:
                yield warn(f"parts.{name}", f"its clock on {each.host} is ahead of ours", "set both by NTP")
            elif each.since < changed:
                told = f"runs since {iso(each.since)}, as {path.name} was then: it was changed {iso(changed)}"
                yield warn(f"parts.{name}", told, "restart the service: it reads its configuration once")
            else:
                yield ok(f"parts.{name}", f"runs on {each.host} since {iso(each.since)}")


def _bundles(config: Config, retained: dict[str, bytes]) -> Iterator[Finding]:
    """Would a device that is set up now take what the broker keeps?"""
    try:
        root = Keys.load(config.keys_folder).newest_root
    except ConfigError:
        return  # which the check of keys says
    for topic, payload in sorted(retained.items()):
        levels = topics.BUNDLE.levels(topic)
        if not levels or levels["pipeline"] not in config.pipelines:
            continue
        scope = Scope(levels["pipeline"], levels["cohort"], levels["slot"])
        name = f"release.{scope}"
        try:
            verified = trust.verify({}, root, trust.unpack_bundle(payload), scope, wall())
        except Refused as refused:
            remedy = "is the publisher running, on this broker and with these keys?"
            yield failed(name, f"a new device would refuse it: {refused}", remedy)
        else:
            yield ok(name, f"{len(payload)} bytes, {', '.join(sorted(verified.targets))}")


def _readings(config: Config) -> Iterator[Finding]:
    place = config.store_place
    if isinstance(place, Path) and not (place / FILE).exists():
        return
    try:
        store = Store(place)
    except IotStreamError:
        return  # which the check of the store says
    try:
        for name, pipeline in config.pipelines.items():
            yield from _heard(name, pipeline, store.inspection.arrived(name, len(pipeline.sources)))
            yield from _refused(name, store)
            if pipeline.upload is None:  # else devices send few of the windows that they predict
                yield from _unmet(name, pipeline, store)
                yield from _silent(name, pipeline, store)
    finally:
        store.close()


def _heard(name: str, pipeline: Pipeline, arrived: dict[int, int]) -> Iterator[Finding]:
    """The teacher's words on a topic, the last source, are no readings."""
    teaching = len(pipeline.sources) - 1 if pipeline.teacher.topic else -1
    newest = max((at for source, at in arrived.items() if source != teaching), default=0)
    yield _newest(name, newest, live=pipeline.clock == "wall")
    if pipeline.upload is not None:  # devices may send samples alone
        return
    for number, source in enumerate(pipeline.sources):
        if number not in arrived:
            place = "teacher" if number == teaching else f"sources.{number}"
            told = f"of late no reading has come on {topics.filter_of(source.topic)}"
            remedy = "is the topic right? see `iot-stream discover`, and `iot-stream quarantine list`"
            yield warn(f"readings.{name}.{place}", told, remedy)


def _refused(name: str, store: Store) -> Iterator[Finding]:
    """Messages of sensors, teachers and labels that could not be used of late."""
    refused = [row for row in store.faults.quarantined(name) if row.at > wall() - STALE]
    if refused:
        newest = refused[-1]
        told = f"{len(refused)} within an hour, the newest on {newest.topic}: {newest.detail}"
        remedy = (
            "`iot-stream quarantine list` shows each, `quarantine replay` tries them with mended settings"
        )
        yield warn(f"refused.{name}", told, remedy)


def _newest(pipeline: str, newest: int, *, live: bool) -> Finding:
    name = f"readings.{pipeline}"
    if not newest:
        return warn(name, "none yet", "do devices publish? `iot-stream discover` shows what is said")
    age = wall() - newest
    if live and age < -AHEAD:
        told = f"the newest is {-age / SECOND:.0f} s from the future"
        return warn(name, told, "a device's clock is ahead: set it by NTP")
    if live and age > STALE:
        told = f"the newest is of {iso(newest)}"
        return warn(name, told, "do devices publish? see `iot-stream monitor`, `iot-stream quarantine`")
    return ok(name, f"the newest is of {iso(newest)}")


def _unmet(name: str, pipeline: Pipeline, store: Store) -> Iterator[Finding]:
    """Devices of which no prediction ends where a window of the service does, so that none is ever judged."""
    cut = pipeline.cut(pipeline.student).id
    spoken = {
        each.device: store.inspection.spoken(name, cut, each.device)
        for each in store.registry.devices(name)[:LOOKED_AT]
        if each.version
    }
    unmet = [device for device, each in spoken.items() if each.due >= ENOUGH and not each.met]
    if unmet:
        told = f"of {', '.join(unmet[:NAMED])} no prediction is at a window's end, so that none is judged"
        window = pipeline.window
        counted = not window.rate and (window.hop or window.length) != 1
        remedy = (
            "give `window` a `rate`: without one a gateway's windows begin with the first reading it hears"
            if counted and pipeline.spoken_by_others
            else "`iot-stream device add` anew, for the device cuts otherwise than the service"
        )
        yield warn(f"predictions.{name}", told, remedy)


def _silent(name: str, pipeline: Pipeline, store: Store) -> Iterator[Finding]:
    """Devices that are online, and of whose sensors no window comes any more."""
    if pipeline.clock != "wall":
        return
    cut, silent = pipeline.cut(pipeline.student).id, []
    for each in store.registry.devices(name)[:LOOKED_AT]:
        expected = store.inspection.expected(name, cut, each.device) if each.online else None
        if expected and wall() > expected[1]:
            silent.append(f"{spoken_name(each.device)} since {iso(expected[0])}")
    if silent:
        told = f"online, and no window any more: {', '.join(silent[:NAMED])}"
        yield warn(f"readings.{name}.devices", told, "is the sensor off, or called otherwise now?")
