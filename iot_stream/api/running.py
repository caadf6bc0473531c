"""A round in this process, on what the store has; or asked of the service, where that runs."""

import logging
import secrets
import threading
from pathlib import Path

import msgspec

from iot_stream import topics
from iot_stream.config import Config
from iot_stream.errors import BrokerError, ModelError
from iot_stream.mqtt import Connection, Message
from iot_stream.service.rounds import Rounds
from iot_stream.store import Store

log = logging.getLogger(__name__)

HEARD_S = 1.0  # within which a broker has said what it retains


def distiller_at_work(config: Config) -> bool:
    """Whether the broker knows of one. A distiller does not start without a broker, so none means no."""
    online, heard = [False], threading.Event()

    def take(message: Message) -> None:
        try:
            online[0] = bool(topics.decode(topics.Service, message.payload).online)
        except msgspec.DecodeError:
            log.warning("%s: not understood", message.topic)
        heard.set()

    # The doctor's login may be used by several at once, and sees who is there.
    address = config.as_part("doctor").address
    connection = Connection(address, f"{config.prefix}-api-{secrets.token_hex(4)}", take)
    connection.subscribe(topics.SERVICE.of(prefix=config.prefix, part="distiller"))
    try:
        connection.start()
    except BrokerError:
        return False
    heard.wait(HEARD_S)
    connection.stop()
    return online[0]


class _Nobody:
    """In place of the broker: whoever runs a round here sees it in the log."""

    def publish(self, topic: str, payload: bytes) -> None:
        log.debug("%s: %d bytes that nobody hears", topic, len(payload))


def prepared(config: Config, store: Store, name: str, folder: Path) -> Rounds:
    """With teacher and first student; raises ConfigError, ModelError."""
    rounds = Rounds(config, store, name, config.pipelines[name], folder, _Nobody())
    rounds.prepare()
    return rounds


def step(rounds: Rounds, store: Store, name: str) -> None:
    """Score what is new, then a round; raises ModelError where there was none."""
    before = len(store.registry.rounds(name))
    rounds.score()
    rounds.step(once=True)
    if len(store.registry.rounds(name)) == before:
        raise ModelError(f"{name} is paused; `iot-stream pause` says why")
