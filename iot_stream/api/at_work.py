"""Whether a distiller is at work, as it says on the broker."""

import logging
import secrets
import threading

import msgspec

from iot_stream import topics
from iot_stream.config import Config
from iot_stream.mqtt import Connection, Message

log = logging.getLogger(__name__)

HEARD_S = 1.0  # within which a broker has said what it retains


def distiller_at_work(config: Config) -> bool:
    """Whether the broker knows of one; raises BrokerError, and ConfigError without a login."""
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
    connection.start()
    heard.wait(HEARD_S)
    connection.stop()
    return online[0]
