"""A pipeline from Python: windows, rounds, versions; and that none of it loads what it does not need."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import iot_stream
from iot_stream import labelling
from iot_stream.api.running import distiller_at_work
from iot_stream.config import load
from iot_stream.errors import ConfigError, ModelError, StoreError
from iot_stream.evaluate.replay.stream import observe
from iot_stream.mqtt import Connection
from iot_stream.presence import Presence
from iot_stream.service import bootstrap
from iot_stream.service.broker import Broker
from iot_stream.store.batches import Batch
from tests.api.world import configured, opened
from tests.service.running import NAME, fleet, service, write_taught
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[iot_stream.Opened]:
    with opened(tmp_path_factory.mktemp("small")) as it:
        yield it


@pytest.fixture(scope="module")
def learnt(small: iot_stream.Opened) -> iot_stream.Opened:
    """After a round."""
    small.run_round()
    return small


def loaded(script: str) -> list[str]:
    """Which heavy packages a script has loaded at its end."""
    heavy = "('torch', 'onnxruntime', 'numpy', 'paho', 'tuf', 'click', 'yaml')"
    script += f"\nimport sys; print(*(name for name in {heavy} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_to_import_the_package_loads_nothing_and_to_read_windows_no_torch(small: iot_stream.Opened) -> None:
    assert loaded("import iot_stream; dir(iot_stream)") == []
    folder = Path(small.store.place).parents[1]
    script = f"import iot_stream; iot_stream.open({str(folder / 'config.yml')!r}).windows()"
    assert {"torch", "paho", "tuf"}.isdisjoint(loaded(script))


def test_all_names_that_are_offered_are_there() -> None:
    assert iot_stream.__all__ == sorted(iot_stream.__all__)
    for name in iot_stream.__all__:
        assert getattr(iot_stream, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'close'"):
        iot_stream.close  # noqa: B018


def test_windows_are_those_of_the_recording_with_its_late_labels(small: iot_stream.Opened) -> None:
    settings = small.settings
    assert settings.recordings is not None
    stream = observe(bootstrap.recorded(settings, settings.recordings.stream, Path()), settings)
    theirs = {(d, s): x for d, s, x in zip(stream.devices, stream.starts.tolist(), stream.x, strict=True)}
    windows = small.windows()
    assert len(windows) == len(stream) > 200
    for device, start, x in zip(windows.devices, windows.starts.tolist(), windows.x, strict=True):
        np.testing.assert_array_equal(x, theirs[device, start])
    truth = {(d, e): t for d, e, t in zip(stream.devices, stream.ends.tolist(), stream.truth, strict=True)}
    known = windows.labels >= 0
    assert 0.1 < known.mean() < 0.6
    for device, end, label in zip(
        windows.devices[known], windows.ends[known].tolist(), windows.labels[known], strict=True
    ):
        assert label == truth[device, end]


def test_a_recording_that_is_read_twice_is_there_once(small: iot_stream.Opened) -> None:
    before = len(small.windows())
    assert small.read_recordings() == 0
    assert len(small.windows()) == before


def test_small_batches_say_what_one_large_one_says(small: iot_stream.Opened) -> None:
    whole = small.windows()
    parts = list(small.batches(size=37))
    assert {len(each) for each in parts[:-1]} == {37}
    joined = Batch.together(parts)
    for field in Batch.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(joined, field), getattr(whole, field), err_msg=field)
    labels, mixed = labelling.join(whole.devices, whole.starts, whole.ends, small.store.journal.labels(NAME))
    np.testing.assert_array_equal(whole.labels, labels)
    np.testing.assert_array_equal(whole.mixed, mixed)


def test_the_newest_windows_are_the_last_of_all(small: iot_stream.Opened) -> None:
    whole = small.windows()
    for count in (1, 50, len(whole), len(whole) + 1):
        newest = Batch.together(list(small.batches(newest=count, size=16)))
        np.testing.assert_array_equal(newest.starts, whole.starts[-count:])
    assert len(np.unique(whole.devices)) > 1
    assert (np.diff(whole.ends) >= 0).all()


def test_a_store_without_windows_gives_an_empty_batch(tmp_path: Path) -> None:
    with iot_stream.open(configured(tmp_path)) as empty:
        (batch,) = empty.batches()
        assert batch.x.shape == (0, 4, 10)
        assert next(iter(empty.batches("teacher"))).labels.shape == (0,)


@pytest.mark.slow
def test_a_dataset_has_the_windows_of_one_class(small: iot_stream.Opened) -> None:
    import torch
    from torch.utils.data import DataLoader

    windows = small.windows()
    usable = (windows.labels >= 0) & ~windows.mixed
    (x, y), *rest = DataLoader(small.dataset(), batch_size=len(windows))
    assert not rest
    torch.testing.assert_close(x, torch.from_numpy(windows.x[usable]))
    assert y.tolist() == windows.labels[usable].tolist()
    with pytest.raises(ModelError, match="num_workers"):
        list(DataLoader(small.dataset(), num_workers=1))


@pytest.mark.slow
def test_a_round_makes_a_version_that_can_be_loaded_and_explains_itself(learnt: iot_stream.Opened) -> None:
    first, second = learnt.rounds()[:2]
    assert (first.trigger, second.trigger, second.outcome) == ("bootstrap", "command", "released")
    assert [each.version for each in learnt.versions()] == [1, 2]
    assert learnt.load().version.version == 2
    assert learnt.load(1).version.round == first.id
    assert learnt.explain(second.id).words["learnt"] == learnt.explain(1).words["learnt"] != []
    with pytest.raises(ModelError, match="made the first student"):
        learnt.explain(first.id)
    windows = learnt.windows()
    assert (windows.teacher >= 0).all()
    old, new = ((learnt.load(version).predict(windows.x) == windows.teacher).mean() for version in (1, 2))
    assert new > old


@pytest.mark.slow
def test_rounds_go_on_from_each_other_and_from_an_earlier_process(learnt: iot_stream.Opened) -> None:
    before = len(learnt.rounds())
    assert learnt.run_round().id == f"{NAME}-all-{before:04d}"
    config = Path(learnt.store.place).parents[1] / "config.yml"
    with iot_stream.open(config) as again:
        assert again.run_round().id == f"{NAME}-all-{before + 1:04d}"


@pytest.mark.slow
def test_a_paused_pipeline_has_no_round_and_says_so(learnt: iot_stream.Opened) -> None:
    learnt.store.scope.hold("test", NAME, "", 0, "holidays")
    try:
        with pytest.raises(ModelError, match="tiny is paused"):
            learnt.run_round()
    finally:
        learnt.store.scope.resume(NAME, "", 0)


@pytest.mark.slow
def test_where_a_service_runs_its_distiller_is_asked(tmp_path: Path, broker: Broker, prefix: str) -> None:
    path = write_taught(tmp_path, broker.url, prefix)
    with service(path, tmp_path / "log"), iot_stream.open(path) as served:
        with fleet(path, tmp_path, "--devices", "2", "--seconds", "600"):
            wait_until(lambda: distiller_at_work(load(path)), "the distiller", 60)
            wait_until(lambda: len(served.windows()) > 20, "windows", 60)
        found = served.run_round()
        assert found.ended is not None
        row = served.store.read("SELECT who, state FROM commands WHERE kind = 'distil'")
        assert row == [("api", "done")]


def test_a_broker_where_no_distiller_is_says_so(tmp_path: Path, broker: Broker, prefix: str) -> None:
    config = load(configured(tmp_path, broker.url, prefix))
    assert not distiller_at_work(config)
    presence = Presence(prefix, "distiller")
    connection = Connection(config.address, f"{prefix}-d", lambda _: None, will=presence.will)
    connection.start()
    presence.say_online(connection)
    assert distiller_at_work(config)
    presence.say_offline(connection)
    assert not distiller_at_work(config)
    connection.stop()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"pipeline": "other"}, "there is no 'other', there is tiny"),
        ({"store": "mysql:x"}, "neither sqlite:///folder"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, arguments: dict[str, str], says: str) -> None:
    path = configured(tmp_path)
    with pytest.raises(ConfigError, match=says):
        iot_stream.open(path, **arguments)


def test_what_is_not_there_says_what_is(small: iot_stream.Opened, tmp_path: Path) -> None:
    with iot_stream.open(configured(tmp_path)) as empty:
        with pytest.raises(ConfigError, match="tiny has no version yet"):
            empty.load()
        with pytest.raises(ConfigError, match="tiny has had no round yet"):
            empty.explain()
        with pytest.raises(ConfigError, match=r"cohort north of tiny has no version 3"):
            empty.load(3, "north")
    with pytest.raises(StoreError):
        iot_stream.open(configured(tmp_path), store="sqlite:///proc/nowhere")
