"""The same recording through the live service and through replay: the same windows, the same accuracy."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from iot_stream.config import Pipeline
from iot_stream.evaluate import metrics
from iot_stream.evaluate.replay.run import Replay
from iot_stream.evaluate.replay.run import run as replay
from iot_stream.evaluate.scores import Scores, collect
from iot_stream.readings import Label
from iot_stream.service import bootstrap
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet
from iot_stream.units import Duration
from simulator.ledger import Ledger
from tests.service.running import opened, service, simulator
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]

EXAMPLE = Path(__file__).parents[2] / "examples" / "occupancy"
NAME = "office"
SPEED = 8000


@dataclass(frozen=True)
class Live:
    pipeline: Pipeline
    student: WindowSet
    teacher: WindowSet
    scores: Scores


def test_live_and_replay_agree(broker: Broker, prefix: str, tmp_path: Path) -> None:
    live = _live(_config(tmp_path, broker.url, prefix), tmp_path)
    took = int(np.mean(_round_times(live)))
    recordings = msgspec.structs.replace(live.pipeline.recordings, round_time=Duration(took))
    *_, replayed = replay(
        NAME, msgspec.structs.replace(live.pipeline, recordings=recordings), tmp_path, 1, lambda *_: None
    )
    _same_windows(live, replayed)
    assert len(replayed.courses[0].rounds) == 3
    order = np.argsort(replayed.stream.ends, kind="stable")
    truth = replayed.stream.truth[order]
    np.testing.assert_array_equal(live.scores.ends, replayed.stream.ends[order])
    np.testing.assert_array_equal(live.scores.truth, truth)
    for rival in ("student", "static", "teacher", "persistence"):
        was = live.scores.said[rival]
        spoken = was >= 0  # a device says nothing before its first model has come, persistence before a word
        assert spoken.mean() > 0.6, rival
        now = replayed.courses[0].said[rival][order]
        accuracies = [metrics.accuracy(said[spoken], truth[spoken]) for said in (was, now)]
        assert accuracies[1] == pytest.approx(accuracies[0], abs=0.03), rival


def _config(folder: Path, url: str, prefix: str) -> Path:
    """The example's, three days and a half of it."""
    data = yaml.safe_load((EXAMPLE / "config.yml").read_text())
    data |= {"broker": url, "store": f"sqlite:{folder / 'store'}", "prefix": prefix}
    recordings = data["pipelines"][NAME]["recordings"]
    recordings["files"] = str(EXAMPLE / recordings["files"])
    recordings["stream"] = {"from": "2015-02-11", "to": "2015-02-14T08:00"}
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def _live(path: Path, folder: Path) -> Live:
    with opened(path) as (config, store):
        pipeline = config.pipelines[NAME]
        with service(path, folder / "service.log"):
            wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a version", 90)
            with simulator(path, folder, "--recordings", "--speed", str(SPEED)) as playing:
                playing.wait(150)
                assert playing.returncode == 0, (folder / "simulator.log").read_text()
            ledger = Ledger.read(folder / "ledger.json")
            wait_until(lambda: _complete(store, pipeline, ledger), "all windows cut and spoken on", 60)
        return Live(
            pipeline,
            _windows(store, pipeline, pipeline.student),
            _windows(store, pipeline, pipeline.teacher),
            collect(store, NAME, pipeline, _truth(ledger), _teacher(store)),
        )


def _truth(ledger: Ledger) -> list[Label]:
    return [Label(b.device, b.first, b.last, b.label) for b in ledger.blocks if b.source == 0]


def _teacher(store: Store) -> str:
    key: str = store.registry.versions(NAME)[0].provenance["teacher"]
    return key


def _complete(store: Store, pipeline: Pipeline, ledger: Ledger) -> bool:
    prompt = [block for block in ledger.blocks if block.source == 0]
    wanted, last = sum(block.n for block in prompt), prompt[-1].last
    spoken = [store.registry.output_count(NAME, f"{m}:{_teacher(store)[:16]}") for m in ("teacher", "static")]
    return min(spoken) == wanted and bool(list(store.journal.predictions(NAME, last)))


def _windows(store: Store, pipeline: Pipeline, network: object) -> WindowSet:
    cut = pipeline.cut(network)  # type: ignore[arg-type]
    windows = store.journal.windows(NAME, cut.id, (cut.length, len(cut.inputs)))
    return windows.rows(np.argsort(windows.starts, kind="stable"))


def _round_times(live: Live) -> list[int]:
    """From each read-out to the first window that the round's version judged, in the stream's time."""
    found = []
    for version in range(2, int(live.scores.versions.max()) + 1):
        first = int(live.scores.ends[live.scores.versions == version].min())
        readout = _last_readout(first)
        found.append(first - readout)
    assert found
    return found


def _last_readout(moment: int) -> int:
    hour, day = 3600 * 10**9, 86_400 * 10**9
    return (moment - 20 * hour) // day * day + 20 * hour


def _same_windows(live: Live, replayed: Replay) -> None:
    stream = replayed.stream
    order = np.argsort(stream.starts, kind="stable")
    assert len(stream) == len(live.student) > 3000
    np.testing.assert_array_equal(stream.starts[order], live.student.starts)
    np.testing.assert_array_equal(stream.ends[order], live.student.ends)
    assert stream.x[order].tobytes() == live.student.x.tobytes()
    assert (stream.place >= 0).all()
    assert stream.teacher_x[stream.place[order]].tobytes() == live.teacher.x.tobytes()
    recorded = bootstrap.recorded(live.pipeline, live.pipeline.recordings.stream, Path())  # type: ignore[union-attr]
    assert sum(len(each.times) for each in recorded) == len(stream)
