"""The device's disk: two versions, damage that is passed over, and a power cut at every step."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iot_stream.artifact import blobs
from iot_stream.artifact.trust import Scope
from iot_stream.device.slots import Release, Slots, State, Trusted

SCOPE = Scope("office", "all")
GRAPH, SPEC = b"graph", b"spec"


class PowerCut(BaseException):
    """Not an Exception, so that nothing in the code under test can survive it."""


def release(version: int) -> tuple[Release, dict[str, bytes]]:
    weights = f"weights of {version}".encode() * 10
    artifacts = {blobs.address(data): data for data in (GRAPH, SPEC, weights)}
    graph, spec, address = artifacts
    return Release(SCOPE, version, "int8", {"gate": "passed"}, graph, spec, address), artifacts


def install(slots: Slots, version: int) -> None:
    new, artifacts = release(version)
    slots.commit(
        State(new, slots.running(), version, {str(SCOPE): Trusted({"timestamp.json": "{}"})}), artifacts
    )


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "state")


def versions(slots: Slots) -> tuple[int | None, int | None]:
    current, previous = slots.current(), slots.previous()
    return (current.version if current else None, previous.version if previous else None)


def state_files(tmp_path: Path) -> list[Path]:
    return sorted(
        (tmp_path / "state").glob("state-*"), key=lambda path: int(path.name.removeprefix("state-"))
    )


def test_a_new_device_has_nothing(slots: Slots) -> None:
    assert slots.state() == State()
    assert versions(slots) == (None, None)
    assert slots.fall_back("nothing to run") is None


def test_installed_bytes_come_back_after_a_restart(slots: Slots, tmp_path: Path) -> None:
    install(slots, 1)
    installed = Slots(tmp_path / "state").current()
    assert installed is not None
    assert (installed.version, installed.graph, installed.spec) == (1, GRAPH, SPEC)
    assert installed.weights == b"weights of 1" * 10
    assert (installed.encoding, installed.custom) == ("int8", {"gate": "passed"})
    assert Slots(tmp_path / "state").state() == slots.state()


def test_the_last_two_versions_are_kept_and_no_more(slots: Slots, tmp_path: Path) -> None:
    for version in range(1, 8):
        install(slots, version)
    assert versions(slots) == (7, 6)
    assert len(state_files(tmp_path)) == 2
    # graph and spec once, and the weights of 7, 6 and, until the next update, 5
    assert len(list((tmp_path / "state/blobs").iterdir())) == 5


def test_artifacts_that_did_not_change_are_not_written_again(slots: Slots, tmp_path: Path) -> None:
    install(slots, 1)
    graph = tmp_path / "state/blobs" / blobs.address(GRAPH)
    before = graph.stat()
    install(slots, 2)
    assert (graph.stat().st_ino, graph.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_fall_back_goes_to_the_previous_and_remembers_what_it_left(slots: Slots, tmp_path: Path) -> None:
    install(slots, 1)
    install(slots, 2)
    fallen = slots.fall_back("NaN in 12 of 100 outputs")
    assert fallen is not None
    assert fallen.version == 1
    assert versions(Slots(tmp_path / "state")) == (1, None)
    trusted = slots.state().trusted(SCOPE)
    assert (trusted.refused, trusted.refused_because) == (2, "NaN in 12 of 100 outputs")
    assert trusted.metadata == {"timestamp.json": "{}"}  # trust does not go back with the version
    assert slots.state().time_floor == 2


def test_fall_back_from_the_only_version_leaves_none(slots: Slots) -> None:
    install(slots, 1)
    assert slots.fall_back("crash loop") is None
    assert versions(slots) == (None, None)
    assert slots.state().trusted(SCOPE).refused == 1


@pytest.mark.parametrize("artifact", ["graph", "spec", "weights"])
@pytest.mark.parametrize("damage", [b"", b"other bytes", None])
def test_a_damaged_artifact_gives_way_to_the_previous_version(
    slots: Slots, tmp_path: Path, artifact: str, damage: bytes | None
) -> None:
    install(slots, 1)
    install(slots, 2)
    address = getattr(release(2)[0], artifact)
    path = tmp_path / "state/blobs" / address
    path.unlink() if damage is None else path.write_bytes(damage)
    shared = artifact != "weights"  # both versions use the same graph and spec
    assert versions(slots) == ((None, None) if shared else (1, None))
    install(slots, 3)
    assert slots.current() is not None
    assert versions(slots)[0] == 3


def test_fall_back_when_the_current_is_damaged_leaves_the_one_that_runs(slots: Slots, tmp_path: Path) -> None:
    install(slots, 1)
    install(slots, 2)
    (tmp_path / "state/blobs" / release(2)[0].weights).write_bytes(b"")
    assert slots.fall_back("class collapse") is None
    assert slots.state().trusted(SCOPE).refused == 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[:0], lambda data: data[:-1], lambda data: data[:70] + b"x" + data[71:]]
)
def test_a_damaged_state_gives_way_to_the_one_before(
    slots: Slots, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    install(slots, 1)
    install(slots, 2)
    newest = state_files(tmp_path)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    assert versions(slots) == (1, None)
    install(slots, 3)
    assert versions(slots) == (3, 1)


def test_with_every_file_zeroed_the_device_starts_anew(slots: Slots, tmp_path: Path) -> None:
    install(slots, 1)
    install(slots, 2)
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert versions(slots) == (None, None)
    install(slots, 3)
    assert versions(slots) == (3, None)


def test_foreign_files_in_the_directory_are_no_states(slots: Slots, tmp_path: Path) -> None:
    install(slots, 1)
    (tmp_path / "state/state-9.new").write_bytes(b"torn")
    (tmp_path / "state/state-x").write_bytes(b"")
    assert versions(slots) == (1, None)
    install(slots, 2)
    assert [path.name for path in state_files(tmp_path)] == ["state-1", "state-2"]


STEPS = ("fsync", "replace", "unlink", "mkdir", "open")


class Cut:
    """Cuts the power at the n-th call that touches the disk; what was not yet synced is lost by half."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.calls = 0
        self._at = at
        for step in STEPS:
            monkeypatch.setattr(os, step, self._counting(getattr(os, step), step))

    def _counting(self, real: Callable[..., Any], step: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                if step == "fsync" and stat.S_ISREG(os.fstat(args[0]).st_mode):
                    os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
                raise PowerCut
            return real(*args, **kwargs)

        return call


@pytest.mark.parametrize("action", ["install", "fall_back"])
def test_a_power_cut_at_any_step_leaves_a_version_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    def act(slots: Slots) -> None:
        install(slots, 4) if action == "install" else slots.fall_back("latency")

    before, after = ((3, 2), (4, 3)) if action == "install" else ((3, 2), (2, None))
    outcomes = []
    for at in range(1, 100):
        directory = tmp_path / str(at)
        slots = Slots(directory)
        for version in (1, 2, 3):
            install(slots, version)
        with monkeypatch.context() as patch:
            cut = Cut(patch, at)
            try:
                act(slots)
            except PowerCut:
                done = False
            else:
                done = True
        if done:
            break
        restarted = Slots(directory)
        assert versions(restarted) in (before, after), f"cut at step {at}"
        outcomes.append(versions(restarted) == after)
        install(restarted, 5)
        assert versions(restarted)[0] == 5
    assert cut.calls == at - 1
    assert len(outcomes) >= 6  # each sync and rename of the state was cut at least once
    assert outcomes == sorted(outcomes)  # before, up to one moment, and after from then on


def test_a_full_disk_is_reported_and_the_former_version_goes_on(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(slots, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            install(slots, 2)
    assert versions(slots) == (1, None)
    install(slots, 2)
    assert versions(slots) == (2, 1)
