"""A distiller on a store that is filled by hand: no broker, no process, a window a second."""

from pathlib import Path
from typing import Any

import numpy as np

from iot_stream.clock import SECOND
from iot_stream.columns import Columns
from iot_stream.config import Config
from iot_stream.readings import Block, Label
from iot_stream.service.rounds import Rounds
from iot_stream.store import Store
from iot_stream.store.doubts import CLEAR
from iot_stream.windows import Windows
from tests.service.running import NAME
from tests.streams import START

DEVICE = "machine"


class _Nobody:
    """A broker's connection with no broker."""

    def publish(self, *_: object, **__: object) -> None:
        pass


class ByHand:
    def __init__(self, config: Config, store: Store) -> None:
        self._config, self.store, self._come = config, store, 0
        self.restart()
        self._rounds.prepare()
        prepared = self._rounds._prepared
        assert prepared is not None
        known = prepared.everything
        rows = np.random.default_rng(0).permutation(len(known))
        self._x, self._said = known.x[rows], known.said[rows]

    def restart(self, config: Config | None = None) -> None:
        """As after the process has ended; `config`: what a person has made of it meanwhile."""
        self._config = config or self._config
        pipeline = self._config.pipelines[NAME]
        self._rounds = Rounds(self._config, self.store, NAME, pipeline, Path(), _Nobody())  # type: ignore[arg-type]

    def hear(self, count: int, *, stuck: bool = False, wrong: bool | None = None, late: int = 0) -> None:
        """So many windows, in which the first channel stays as it is, or whose labels say that the teacher
        is wrong, or right; known when the stream is `late` ns further."""
        rows = np.arange(self._come, self._come + count)
        self._come += count
        ends, x = START + rows * SECOND, self._x[rows].copy()
        if stuck:
            x[:, :, 0] = self._x[0, 0, 0]
        cut = self._config.pipelines[NAME].cut(self._config.pipelines[NAME].student)
        block = Block(DEVICE, ("f0",), ends + late, np.zeros((count, 1), np.float32))
        with self.store.write() as tx:
            self.store.journal.append(tx, NAME, Columns.of([block]), int(ends[-1]) + late)
            windows = Windows(ends - SECOND // 2, ends, x)
            self.store.journal.add_windows(tx, NAME, cut.id, [(DEVICE, windows, int(ends[-1]))])
            if wrong is not None:
                for end, said in zip(ends.tolist(), self._said[rows].tolist(), strict=True):
                    label = Label(DEVICE, end, end, 1 - said if wrong else said)
                    self.store.journal.add_label(tx, NAME, label, end)

    def round(self) -> tuple[str, dict[str, Any]]:
        """Outcome and what is told of the teacher."""
        assert self._rounds.ready()
        self._rounds.score()
        self._rounds.step(once=True)
        last = self.store.registry.rounds(NAME)[-1]
        return last.outcome, last.report["trust"]

    def goes_on(self) -> bool:
        """Whether there was reason for a round."""
        before = len(self.store.registry.rounds(NAME))
        assert self._rounds.ready()
        self._rounds.score()
        self._rounds.step()
        return len(self.store.registry.rounds(NAME)) > before

    def clear(self) -> tuple[str, str]:
        """A person's word, and what came of it."""
        return self.obey(CLEAR, until=self.store.journal.now(NAME))

    def obey(self, kind: str, **arguments: object) -> tuple[str, str]:
        """What a person wants, and what came of it."""
        command = self.store.registry.command("ann", kind, NAME, **arguments)
        assert self._rounds.ready()
        self._rounds.obey()
        return self.store.registry.outcome(command)
