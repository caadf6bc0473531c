"""A round in this process, on what the store has; or asked of the service, where that runs."""

import logging
from pathlib import Path

from iot_stream.api import at_work
from iot_stream.config import Config
from iot_stream.errors import BrokerError, ModelError
from iot_stream.service.rounds import Rounds
from iot_stream.store import Store

log = logging.getLogger(__name__)


def distiller_at_work(config: Config) -> bool:
    """Whether the broker knows of one. A distiller does not start without a broker, so none means no."""
    try:
        return at_work.distiller_at_work(config)
    except BrokerError:
        return False


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
