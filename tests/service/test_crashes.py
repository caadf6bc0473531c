"""Kill −9, many times, at any moment: nothing acknowledged is lost, nothing doubled, nothing half."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from iot_stream.cut import Cut
from iot_stream.evaluate import live
from iot_stream.service import broker as brokers
from iot_stream.service.versions import packed_version
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet
from iot_stream.windows import Windower
from simulator.ledger import Ledger
from tests.service.running import NAME, fleet, kill_service, opened, service, start_service, write_taught
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


def _cut_again(store: Store, cut: Cut, device: str) -> list[bytes]:
    """The windows of a device, from its journal in order of number, by the pure function alone."""
    blocks = [entry.block for entry in store.journal.after(NAME, 0, 10**6) if entry.block.device == device]
    blocks.sort(key=lambda block: (block.times[0], block.seq))
    times = np.concatenate([block.times for block in blocks])
    values = np.concatenate([block.values for block in blocks])
    windows = Windower(cut).push(times, values)
    return [x.tobytes() + start.tobytes() for start, x in zip(windows.starts, windows.x, strict=True)]


def _stored(windows: WindowSet, device: str) -> list[bytes]:
    mine = windows.rows(windows.devices == device)
    mine = mine.rows(np.argsort(mine.starts))
    return [x.tobytes() + start.tobytes() for start, x in zip(mine.starts, mine.x, strict=True)]


@pytest.mark.parametrize(("kills", "seconds"), [(2, 15), pytest.param(20, 90, marks=pytest.mark.long)])
def test_killed_at_random(tmp_path: Path, prefix: str, kills: int, seconds: int) -> None:
    rng = random.Random(20)
    log = tmp_path / "service.log"
    with brokers.start(tmp_path / "broker") as broker:
        path = write_taught(tmp_path, broker.url, prefix)
        with opened(path) as (config, store):
            cut = config.pipelines[NAME].cut(config.pipelines[NAME].student)
            with service(path, log):
                wait_until(
                    lambda: store.registry.release(NAME, "all", "stable") is not None, "a first version", 90
                )
            with fleet(path, tmp_path, "--devices", "5", "--seconds", str(seconds)) as running:
                for _ in range(kills):
                    serving = start_service(path, log)
                    time.sleep(rng.uniform(0.2, 7))  # the moment of the kill is what is random here
                    kill_service(serving)
                assert running.poll() is None, "the fleet must outlive the kills"
                with service(path, log):
                    running.wait(120)
                    assert running.returncode == 0, (tmp_path / "simulator.log").read_text()
                    ledger = Ledger.read(tmp_path / "ledger.json")
                    published = sum(block.n for block in ledger.blocks)
                    wait_until(
                        lambda: sum(store.journal.readings(NAME).values()) >= published,
                        "all readings stored",
                        60,
                    )
                    command = store.registry.command("test", "distil", NAME)
                    wait_until(
                        lambda: store.registry.outcome(command)[0] == "done", "the service still learns", 60
                    )
            result = live.read(store, NAME, config.pipelines[NAME], ledger, broker.name)
            _check(store, result, cut)


def _check(store: Store, result: live.Run, cut: Cut) -> None:
    assert live.lost(result) == 0
    assert live.doubled(result) == 0
    windows = store.journal.windows(NAME, cut.id, (cut.length, len(cut.inputs)), limit=10**6)
    devices = sorted(set(windows.devices.tolist()))
    assert len(devices) == 5
    for device in devices:
        assert _stored(windows, device) == _cut_again(store, cut, device), device

    versions = store.registry.versions(NAME)
    assert [v.version for v in versions] == list(range(1, len(versions) + 1))
    for version in versions:
        packed_version(store, version).model().self_test()
    rounds = {each.id: each for each in store.registry.rounds(NAME)}
    assert all(rounds[v.round].outcome == "released" for v in versions)
    release = store.registry.release(NAME, "all", "stable")
    assert release is not None
