"""What the page in the terminal shows of a pipeline: the dashboard's views, looked at together."""

from typing import NamedTuple

from iot_stream.config import Config
from iot_stream.config.cohorts import ALL
from iot_stream.store import Store
from iot_stream.watch.dashboard.progress import Progress, Step
from iot_stream.watch.dashboard.views.fleet import Fleets, Row
from iot_stream.watch.dashboard.views.promise import Promise, Promises
from iot_stream.watch.dashboard.views.rounds import Rounds, View
from iot_stream.watch.dashboard.views.topics import Heard, Lines


class Shown(NamedTuple):
    """`running`: steps of each round that runs, and of what comes before the first."""

    pipeline: str
    pipelines: tuple[str, ...]
    promise: Promise
    fleet: list[Row]
    by: str
    rounds: Rounds
    running: dict[str, list[Step]]
    lines: Lines


class Looker:
    """At one pipeline after the other; keeps what it has read from one look to the next."""

    def __init__(self, config: Config, store: Store) -> None:
        self._pipelines = tuple(config.pipelines)
        self._progress = Progress()
        self._heard = Heard(config, self._progress.take)
        self._promises = {
            name: Promises(store, name, pipeline) for name, pipeline in config.pipelines.items()
        }
        self._fleets = {name: Fleets(store, name, each) for name, each in self._promises.items()}
        self._rounds = {
            name: View(store, name, pipeline, self._progress) for name, pipeline in config.pipelines.items()
        }

    def start(self) -> None:
        self._heard.start()

    def stop(self) -> None:
        self._heard.stop()

    def look(self, number: int) -> Shown:
        """At the pipeline of this number, in turn. Raises StoreError."""
        name = self._pipelines[number % len(self._pipelines)]
        promise, fleet = self._promises[name].view({}), self._fleets[name].view({})
        rounds = self._rounds[name].view({})
        assert isinstance(rounds, Rounds), "a list was asked for"
        running = rounds.running
        if not rounds.rounds and (before := self._progress.of(name, f"{name}-{ALL}-0000")):
            running = {f"{name}-{ALL}-0000": before}  # teacher and first student
        lines = self._heard.view(name, {})
        return Shown(name, self._pipelines, promise, fleet.rows, fleet.by, rounds, running, lines)
