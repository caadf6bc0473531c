"""A recording as the collector would have had it: its messages, decoded, in the journal, and cut."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from iot_stream.columns import Columns
from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError
from iot_stream.evaluate.replay.stream import blocks
from iot_stream.ingest.cutter import Cutter
from iot_stream.readings import Block
from iot_stream.recordings import late_labels
from iot_stream.service import bootstrap
from iot_stream.store import Store

SEGMENT = 500  # messages that are one row of the journal


def read(store: Store, name: str, pipeline: Pipeline, folder: Path) -> int:
    """How many of the student's windows are new. Raises ConfigError."""
    settings = pipeline.recordings
    if settings is None:
        raise ConfigError(f"pipelines.{name}.recordings: name files or a world")
    recordings = bootstrap.recorded(pipeline, settings.stream, folder)
    cut = pipeline.cut(pipeline.student)
    before = store.journal.window_count(name, cut.id)
    arrived = 0
    for part in _parts(block for block, _, _ in blocks(recordings, pipeline)):
        arrived = max(arrived, *(int(block.times.max()) for block in part))
        with store.write() as tx:
            store.journal.append(tx, name, Columns.of(part), arrived)
    with store.write() as tx:
        for known in late_labels(recordings, settings, pipeline.seed):
            store.journal.add_label(tx, name, known.label, known.at)
    _cut(store, name, pipeline, arrived)
    return store.journal.window_count(name, cut.id) - before


def _parts(of: Iterator[Block]) -> Iterator[list[Block]]:
    while part := list(islice(of, SEGMENT)):
        yield part


def _cut(store: Store, name: str, pipeline: Pipeline, now: int) -> None:
    """All windows of both models; what waits for more is waited for no longer."""
    for cut, wait in pipeline.cuts.items():
        cutter = Cutter(store, name, pipeline, cut, wait)
        more = 1
        while more:
            with store.write() as tx:
                more = cutter.advance(tx)
        with store.write() as tx:
            cutter.idle(tx, now + wait)
            cutter.save(tx)
    with store.write() as tx:
        store.journal.save_known(tx, name)
