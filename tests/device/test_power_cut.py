"""The power goes at any moment of an update: a version always runs, and the update always arrives."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from iot_stream.artifact.pieces import Piece
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Target, bundle
from tests.device.flaky import FlakyDisk
from tests.device.fleet import NOW, SCOPE, Fleet, accept, targets


@dataclass
class Update:
    """A device at version 2, and the release of version 3: in pieces, with another graph."""

    keys: Keys
    start: Path
    old: bytes
    new: bytes
    parts: dict[Piece, bytes]

    def updater(self, folder: Path) -> Updater:
        return Updater(Slots(folder), self.keys.root_chain()["1.root.json"], SCOPE, "d")

    def install(self, folder: Path) -> None:
        """As a device does it: pieces as they come, then all of it."""
        slots, updater = Slots(folder), self.updater(folder)

        def tested(installed: Installed) -> None:
            with slots.trying(installed.version):
                accept(installed)

        while True:
            try:
                updater.apply(self.new, {}, NOW, tested)
            except MissingBlobs as missing:
                for piece in missing.pieces:
                    slots.keep_part(piece.sha256, self.parts[piece])
            else:
                return

    def fall_back(self, folder: Path) -> None:
        Slots(folder).fall_back("nan")


@pytest.fixture
def update(keys: Keys, tmp_path: Path) -> Update:
    fleet = Fleet(keys, tmp_path / "start")
    old = fleet.publish(1)
    fleet.apply(old)
    fleet.apply(fleet.publish(2))
    content = {**targets(3), "graph.onnx": Target(b"another graph" * 20)}
    cut = {name: Target(target.data, target.custom, 60) for name, target in content.items()}
    new, parts = bundle(fleet.repository.release(3, cut, NOW), cut, 0)
    return Update(keys, tmp_path / "start", old, new, parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "least", "chances"),
    [
        ("install", 90, 3),
        pytest.param("install", 1000, 34, marks=pytest.mark.long),
        ("fall_back", 20, 5),
        pytest.param("fall_back", 150, 34, marks=pytest.mark.long),
    ],
)
def test_after_a_power_cut_at_any_step_a_version_runs_and_the_update_arrives(
    update: Update, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, least: int, chances: int
) -> None:
    """`chances` a step: what was not synced is lost in as many ways."""
    act: Callable[[Path], None] = getattr(update, action)
    before, after = (2, 3) if action == "install" else (2, 1)
    trials, outcomes, ended, step = 0, set(), False, 0
    while not ended:
        step += 1
        for chance in range(chances):
            folder = tmp_path / "trial"
            shutil.copytree(update.start, folder)
            disk = FlakyDisk(folder, random.Random(f"{step}/{chance}"))
            ended = disk.run(lambda folder=folder: act(folder), step, monkeypatch)
            disk.lose_power()
            runs = Slots(folder).current()
            assert runs is not None, f"cut at touch {step}, chance {chance}"
            assert runs.version == after if ended else runs.version in (before, after)
            outcomes.add(runs.version)
            with pytest.raises(Refused):
                update.updater(folder).apply(update.old, {}, NOW, accept)
            update.install(folder)
            arrived = Slots(folder).current()
            assert arrived is not None
            assert arrived.version == 3
            shutil.rmtree(folder)
            trials += 1
    assert trials >= least
    assert outcomes == {before, after}
