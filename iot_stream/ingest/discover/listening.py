"""Listens to a broker for a bounded time."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from iot_stream.address import Address
from iot_stream.clock import wall
from iot_stream.errors import ConfigError
from iot_stream.formats.sparkplug_payload import rebirth as born_again
from iot_stream.ingest.discover.heard import Ear
from iot_stream.ingest.discover.sparkplug import unborn
from iot_stream.mqtt import Connection, Message

log = logging.getLogger(__name__)


def listen(
    ear: Ear,
    address: Address,
    filters: Sequence[str],
    seconds: float,
    stopping: threading.Event,
    each_second: Callable[[], None] = lambda: None,
    *,
    rebirth: bool = False,
) -> None:
    """The ear hears what comes within `seconds`, or until `stopping`; raises ConfigError and BrokerError.

    QoS 0, and nothing is published, so that listening leaves no trace; but with `rebirth` each node of
    Sparkplug whose birth was not heard is asked for it, once.
    """
    for each in filters:
        _check(each)

    def hear(message: Message) -> None:
        ear.hear(message.topic, message.payload, wall(), retained=message.retained)

    asked: set[str] = set()
    connection = Connection(address, f"iot-stream-discover-{uuid.uuid4().hex[:8]}", hear)
    for each in filters:
        connection.subscribe(each, qos=0)
    connection.start()
    try:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stopping.wait(min(left, 1)):
            each_second()
            for topic in set(unborn(ear.topics)) - asked if rebirth else ():
                connection.publish(topic, born_again(wall() // 10**6), qos=0)
                asked.add(topic)
                log.info("asked for a birth, on %s", topic)
    finally:
        connection.stop()


def _check(pattern: str) -> None:
    *levels, last = pattern.split("/")
    wrong = any("#" in level for level in levels) or any(
        len(level) > 1 and set(level) & set("+#") for level in (*levels, last)
    )
    if wrong or not pattern:
        raise ConfigError(
            f"{pattern!r} is no topic to listen to: + stands for one level, a last # for all left"
        )
