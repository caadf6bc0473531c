"""Sensors as they speak: each dialect of the pages under docs/sensors, in two states of the world.

`speak(at, state)` gives what a sensor and its teacher publish at a moment: (topic, payload). State 1 is the
second class. Where a dialect tells times, hours are told in a moment; else sensors speak fast.
"""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from iot_stream import topics
from iot_stream.address import Broker
from iot_stream.clock import wall
from iot_stream.formats import sparkplug_payload as sparkplug
from iot_stream.formats.sparkplug_payload import Datatype, Metric
from iot_stream.mqtt import Connection, Message

SECOND = 10**9
Spoken = Iterator[tuple[str, bytes]]
Speak = Callable[[int, int], Spoken]
_rng = np.random.default_rng(0)


def _near(value: float, spread: float = 0.3) -> float:
    return round(value + float(_rng.normal(0, spread)), 2)


def zigbee2mqtt(at: int, state: int) -> Spoken:
    seen = at // 10**6
    yield "zigbee2mqtt/presence_desk", _json({"presence": bool(state), "battery": 97, "last_seen": seen})
    for name in ("climate_desk", "climate_door"):
        climate = {"temperature": _near(20 + 3 * state), "humidity": _near(40 + 6 * state), "battery": 88}
        yield f"zigbee2mqtt/{name}", _json(climate | {"linkquality": 120, "last_seen": seen})


def tasmota(at: int, state: int) -> Spoken:
    moment = datetime.fromtimestamp(at // SECOND, UTC).astimezone(ZoneInfo("Europe/Berlin"))
    time = moment.replace(tzinfo=None).isoformat()
    power = {"Time": time, "Uptime": "3T04:11:02", "POWER": "ON" if state else "OFF", "Wifi": {"RSSI": 82}}
    yield "tele/dryer/STATE", _json(power)
    climate = {"Temperature": _near(20 + 3 * state), "Humidity": _near(40 + 20 * state), "DewPoint": 8.6}
    yield "tele/laundry/SENSOR", _json({"Time": time, "SHT3X": climate, "TempUnit": "C"})


def esphome(at: int, state: int) -> Spoken:
    yield "radar/binary_sensor/presence/state", b"ON" if state else b"OFF"
    yield "room/sensor/room_temperature/state", str(_near(20 + 3 * state)).encode()
    yield "room/sensor/room_co2/state", str(_near(500 + 400 * state, 20)).encode()


def plain_json(at: int, state: int) -> Spoken:
    yield "plant/pump-1/verdict", _json({"worn": bool(state), "at": at / SECOND})
    samples = {axis: _rng.normal(0, 0.3 + 2 * state, 4).round(3).tolist() for axis in ("x", "y")}
    time = datetime.fromtimestamp(at / SECOND, UTC).isoformat(timespec="milliseconds")
    yield "plant/pump-1/acc", _json({"id": "pump-1", "at": time, "acc": samples})


class Sparkplug:
    """An edge node with a press; born again whenever it is asked, as the specification wants."""

    def __init__(self) -> None:
        self._seq, self.born = 0, False

    def __call__(self, at: int, state: int) -> Spoken:
        ms = at // 10**6
        values = {"Inputs/Pressure": _near(4 + 3 * state), "Inputs/Temperature": _near(58 + 9 * state)}
        told = [
            (name, Datatype.DOUBLE, number, value) for number, (name, value) in enumerate(values.items(), 1)
        ]
        told.append(("Quality/Worn", Datatype.BOOLEAN, 3, bool(state)))
        if not self.born:
            self._seq, self.born = 0, True
            bd = Metric("bdSeq", 0, Datatype.INT64, time=ms)
            yield "spBv1.0/plant/NBIRTH/edge", sparkplug.nbirth([bd], ms)
            named = [Metric(name, value, kind, alias, ms) for name, kind, alias, value in told]
            yield "spBv1.0/plant/DBIRTH/edge/press", sparkplug.dbirth(named, ms, self._next())
            return
        bare = [Metric("", value, kind, alias, ms) for _, kind, alias, value in told]
        yield "spBv1.0/plant/DDATA/edge/press", sparkplug.ddata(bare, ms, self._next())

    def _next(self) -> int:
        self._seq = (self._seq + 1) % 256
        return self._seq


def _json(message: object) -> bytes:
    return json.dumps(message).encode()


class Sensors:
    """They tell what has been, as soon as the service hears them and waits for it, and go on."""

    def __init__(self, url: str, speak: Speak, *, timed: bool, every_s: float = 10.0) -> None:
        self._speak, self._timed, self._every = speak, timed, int(every_s * SECOND)
        self._stop, self._heard = threading.Event(), threading.Event()
        self._hears = self._waits = False
        self._connection = Connection(Broker(url=url).address(), "sensors", self._take)
        self._connection.subscribe("iot/service/collector")
        self._connection.subscribe("iot/+/round/+")
        self._connection.subscribe("spBv1.0/plant/NCMD/edge")
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)

    def __enter__(self) -> "Sensors":
        self._connection.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._heard.set()
        self._thread.join(10)
        self._connection.stop()

    def _take(self, message: Message) -> None:
        if message.topic.startswith("spBv1.0"):
            self._speak.born = False  # type: ignore[attr-defined]
        elif message.topic == "iot/service/collector":
            self._hears = topics.decode(topics.Service, message.payload).online
        elif topics.decode(topics.RoundEvent, message.payload).detail.startswith("waiting for the teacher"):
            self._waits = True
        if self._hears and self._waits:
            self._heard.set()

    def _run(self) -> None:
        self._heard.wait()
        past = 600 if self._timed else 0
        begin = wall() - past * self._every
        for number in range(past):
            self._say(begin + number * self._every, number // 50 % 2)
        number = 0
        while not self._stop.wait(0.15):
            self._say(wall(), number // 50 % 2)
            number += 1

    def _say(self, at: int, state: int) -> None:
        for topic, payload in self._speak(at, state):
            if not self._stop.is_set():
                self._connection.publish(topic, payload)
