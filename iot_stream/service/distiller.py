"""The distiller: a process of its own that scores every window, waits for a reason, and runs rounds."""

import logging
import threading
from pathlib import Path

from iot_stream.config import Config
from iot_stream.distill import machines
from iot_stream.mqtt import Connection
from iot_stream.presence import Presence
from iot_stream.service.rounds import Rounds
from iot_stream.store import Store

log = logging.getLogger(__name__)

POLL_S = 0.1


class Distiller:
    def __init__(self, config: Config, store: Store, folder: Path) -> None:
        self._config, self._store = config, store
        self._presence = Presence(config.prefix, "distiller")
        self._connection = Connection(
            config.address,
            f"{config.prefix}-distiller-{self._presence.instance}",
            lambda _: None,
            will=self._presence.will,
            on_connect=lambda: self._presence.say_online(self._connection),
        )
        self._pipelines = [
            Rounds(config, store, name, pipeline, folder, self._connection)
            for name, pipeline in config.pipelines.items()
        ]

    def run(self, stopping: threading.Event, once: bool = False) -> None:
        """Until `stopping`; with `once`, one round for each pipeline that has anything to learn from."""
        with machines.joined(pipeline.cohorts for pipeline in self._config.pipelines.values()):
            self._run(stopping, once)

    def interrupted(self) -> None:
        """When the process ends in the midst of a round; from any thread."""
        for pipeline in self._pipelines:
            pipeline.interrupted()

    def _run(self, stopping: threading.Event, once: bool) -> None:
        self._connection.start()
        log.info("distiller: at work at %s", self._config.address)
        try:
            while not stopping.is_set():
                for pipeline in self._pipelines:
                    if not pipeline.ready():
                        continue
                    pipeline.score()
                    pipeline.obey()
                    pipeline.step(once)
                if once:
                    return
                stopping.wait(POLL_S)
        finally:
            self._presence.say_offline(self._connection)
            self._connection.stop()
