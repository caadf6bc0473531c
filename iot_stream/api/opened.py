"""A pipeline of a configuration, opened: its windows, rounds and versions."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from iot_stream import operate
from iot_stream.api import history
from iot_stream.config import Config, Pipeline, load
from iot_stream.config.cohorts import ALL
from iot_stream.distill.explain.why import Why, of_report
from iot_stream.errors import ConfigError, ModelError
from iot_stream.store import Store
from iot_stream.store.batches import BATCH, Batch, batches
from iot_stream.store.registry import Round, Version

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import IterableDataset

    from iot_stream.api.student import Student
    from iot_stream.service.rounds import Rounds

Of = Literal["student", "teacher"]


def open(path: Path | str = "iot-stream.yml", pipeline: str | None = None, **settings: str) -> "Opened":
    """The pipeline of a configuration; its name may be left out where there is one only.

    `settings` stand over the file's top level, as `store="sqlite:runs/notebook"`. The store is made where
    there is none; a running service and this may have it open together. Raises ConfigError, StoreError.
    """
    config = load(Path(path), **settings)
    if pipeline is None and len(config.pipelines) > 1:
        raise ConfigError(f"pipeline: name one of {', '.join(config.pipelines)}")
    name = pipeline or next(iter(config.pipelines))
    if name not in config.pipelines:
        raise ConfigError(f"pipeline: there is no {name!r}, there is {', '.join(config.pipelines)}")
    return Opened(config, Store(config.store_place), name, Path(path).parent)


class Opened:
    """Made by `open`; to be closed, or used in a `with`.

    Attributes:
        name: of the pipeline.
        settings: what the configuration says of it.
        classes: their names, in the order of their indexes.
        store: where everything is kept, for what is not to be had here.
    """

    def __init__(self, config: Config, store: Store, name: str, folder: Path) -> None:
        self._config, self._folder = config, folder
        self.store, self.name = store, name
        self.settings: Pipeline = config.pipelines[name]
        self.classes: tuple[str, ...] = self.settings.classes
        self._rounds: Rounds | None = None

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(self.classes)}; {self.store.place}>"

    def __enter__(self) -> "Opened":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    # --- windows ----------------------------------------------------------------------------

    def inputs(self, of: Of = "student") -> tuple[str, ...]:
        """The columns of its windows."""
        return self.settings.cut(getattr(self.settings, of)).inputs

    def batches(self, of: Of = "student", *, newest: int = 0, size: int = BATCH) -> Iterator[Batch]:
        """All stored windows with their labels and what was said of them, oldest first, `size` at a time; or
        the `newest` so many. Any number fits in memory."""
        network = getattr(self.settings, of)
        return batches(self.store, self.name, self.settings, network, newest=newest, size=size)

    def windows(self, of: Of = "student", *, newest: int = 10_000) -> Batch:
        """The newest windows in one piece."""
        return Batch.together(list(self.batches(of, newest=newest)))

    def dataset(self, of: Of = "student", *, newest: int = 0) -> "IterableDataset[tuple[Tensor, int]]":
        """For torch: (length, inputs) and class of each window that has one, and only one.

        Missing values stay NaN. Needs `pip install 'iot-stream[train]'`.
        """
        from iot_stream.distill.dataset import LabelledWindows

        return LabelledWindows(lambda: self.batches(of, newest=newest))

    def read_recordings(self) -> int:
        """Take the stream of the configuration's `recordings` into the store, as a collector would have taken
        it from a broker; returns how many of the student's windows are new. A second time they are known.

        Raises ConfigError where there are none.
        """
        from iot_stream.api.recorded import read

        return read(self.store, self.name, self.settings, self._folder)

    # --- rounds -----------------------------------------------------------------------------

    def rounds(self) -> list[Round]:
        """What is written down of each, oldest first; `report` has all figures."""
        return self.store.registry.rounds(self.name)

    def explain(self, which: str | int = history.LATEST) -> Why:
        """Why a round, named by id or number, changed the student: `words` has it in sentences.

        Raises ConfigError where there is no such round, ModelError where it did not explain itself.
        """
        found = history.find(self.rounds(), str(which), self.name)
        why = of_report(found.report)
        if why is None:
            raise ModelError(f"{found.id} has no explanation: {history.unexplained(found)}")
        return why

    def run_round(self, cohort: str = ALL) -> Round:
        """A round now, as `iot-stream distill --once` would run it, and what is written down of it.

        Before the first one the teacher and the first student are trained, which may take minutes. If it
        releases a version, a running publisher takes that to the devices. Where a distiller is at work, it is
        asked for the round in place of this process: two would tread on each other's feet. Raises ModelError.
        """
        from iot_stream.api import running

        if running.distiller_at_work(self._config):
            operate.distil(self.store, "api", math.inf, self.name)
        else:
            if self._rounds is None:
                self._rounds = running.prepared(self._config, self.store, self.name, self._folder)
            running.step(self._rounds, self.store, self.name)
        ended = [each for each in self.rounds() if each.cohort == cohort and each.ended is not None]
        if not ended:
            raise ConfigError(f"{self.name} has had no round of cohort {cohort!r}")
        return ended[-1]

    # --- versions ---------------------------------------------------------------------------

    def versions(self, cohort: str | None = None) -> list[Version]:
        """Of one cohort or all, by number; `provenance` says what each was made of."""
        return self.store.registry.versions(self.name, cohort)

    def load(self, version: int | None = None, cohort: str = ALL) -> "Student":
        """A version, the newest by default. Raises ConfigError where there is no such one."""
        from iot_stream.api.student import Student
        from iot_stream.device.model import Model

        found = history.version(self.store, self.name, cohort, version)
        get = self.store.registry.artifact
        parts = get(found.graph), get(found.spec), get(found.weights)
        return Student(found, Model.build(found.version, *parts, found.encoding))
