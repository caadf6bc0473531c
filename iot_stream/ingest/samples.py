"""A sample of a device's windows into the store: as they are, for there is nothing to cut them from."""

from iot_stream.clock import wall
from iot_stream.config import Pipeline
from iot_stream.errors import DataError
from iot_stream.formats import sample
from iot_stream.formats.sample import Sample
from iot_stream.hygiene import check_times
from iot_stream.readings import SAMPLED, Block
from iot_stream.store import Store, Transaction
from iot_stream.store.journal import Prediction
from iot_stream.store.totals import SEEN, WINDOWS


class Samples:
    def __init__(self, store: Store, name: str, pipeline: Pipeline) -> None:
        self._store, self._name = store, name
        student, teacher = pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher)
        self._cuts = {cut.id: cut for cut in (student, teacher)}
        self._places = {klass: index for index, klass in enumerate(pipeline.classes)}

    def read(self, device: str, payload: bytes) -> tuple[Sample, int]:
        """The message, and the time (ns) of what is newest in it; raises DataError."""
        found = sample.decode(payload, self._cuts)
        if strange := [klass for klass in found.classes if klass not in self._places]:
            known = ", ".join(self._places)
            raise DataError("unknown_class", f"sample of {device}: {strange[0]!r} is none of {known}")
        times = [found.rest.begin, found.rest.end]
        times += [
            time for each in found.windows.values() for time in (*each.starts.tolist(), *each.ends.tolist())
        ]
        return found, check_times(Block(device, (), times, []), wall())

    def write(self, tx: Transaction, device: str, found: Sample, size: int, arrived: int) -> Block | None:
        """Each window once, whatever a broker brings again; returns readings for a teacher that sees more."""
        journal, rest = self._store.journal, found.rest
        for cut, windows in found.windows.items():
            if new := journal.add_windows(tx, self._name, cut, [(device, windows, arrived)]):
                self._store.totals.add(tx, self._name, WINDOWS + cut, new)
        if self._store.summaries.add(tx, self._name, device, rest, size, arrived):
            self._store.totals.add(tx, self._name, SEEN, rest.windows)
        if not found.windows:
            return None
        ends = next(iter(found.windows.values())).ends
        words = zip(ends.tolist(), found.said.tolist(), found.p.tolist(), strict=True)
        said = [
            Prediction(device, end, found.version, self._places[found.classes[klass]], p)
            for end, klass, p in words
            if klass >= 0
        ]
        journal.add_predictions(tx, self._name, said, arrived)
        if not found.channels or not len(ends):
            return None
        return Block(device, found.channels, ends, found.readings, source=SAMPLED)
