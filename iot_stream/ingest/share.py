"""Several collectors that share the work: each takes a part of the messages, as the broker shares them out.

MQTT 5.0, 4.8.2 "Shared Subscriptions"; mosquitto and most brokers have them for MQTT 3.1.1 too.
"""

import re

from iot_stream.config import Config
from iot_stream.errors import ConfigError
from iot_stream.formats import Conversation, decoder

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


def part(name: str) -> str:
    """What a collector is called on the broker."""
    return f"collector-{name}" if name else "collector"


def check_name(name: str) -> None:
    """Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--shared: {name!r} is no name; letters, digits, - and _, at most 32")


def check(config: Config, name: str) -> None:
    """Raises ConfigError where a collector called `name` could not be one of several."""
    check_name(name)
    if not config.store.startswith("postgresql:"):
        raise ConfigError(f"store: {config.store}: collectors share a store in PostgreSQL only")
    for pipeline, settings in config.pipelines.items():
        for index, source in enumerate(settings.sources):
            if isinstance(decoder(source, index), Conversation):
                place = f"pipelines.{pipeline}.sources[{index}]"
                raise ConfigError(
                    f"{place}: what {source.format} says makes sense only to who hears all of it; give it a "
                    "pipeline in a configuration of its own, with one collector"
                )


def shared(patterns: list[str], config: Config) -> list[str]:
    """The subscriptions of one of several."""
    return [f"$share/{config.prefix}/{pattern}" for pattern in patterns]
