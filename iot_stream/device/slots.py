"""The device's disk: the last two good versions, and what it trusts, safe against a power cut at any time.

    state/
    ├── state-7, state-8   the two newest states; the highest number that is intact counts
    ├── blobs/<sha256>     graph, spec and weights of the versions that the state names
    ├── parts/<sha256>     pieces of an artifact that is not whole yet
    └── trying             the version that is being loaded and tested, and how often the process died of it

A state is one small file (its SHA-256, then JSON) that says everything: which version is current,
which is the previous one, the trusted TUF metadata of each scope, what was refused, and the time
floor. All blobs are written and synced first, then the state is; one rename makes it count, so there
is no moment at which half an update is visible. A file that turns out empty or damaged after all
(python-tuf alone would then take version 1 again) is passed over for the one before it.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from iot_stream.artifact import blobs
from iot_stream.artifact.trust import Scope

_STATE = "state-"
_KEPT_STATES = 2


@dataclass(frozen=True)
class Installed:
    """A version as bytes, verified against its hashes; ready to be decoded and run."""

    version: int
    graph: bytes
    spec: bytes
    weights: bytes
    encoding: str
    custom: Mapping[str, str]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version as the state names it: its artifacts by content address."""

    scope: Scope
    version: int
    encoding: str
    custom: dict[str, str]
    graph: str
    spec: str
    weights: str

    @property
    def addresses(self) -> tuple[str, str, str]:
        return self.graph, self.spec, self.weights


class Trusted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the device holds true of one scope.

    metadata: the verified TUF files, verbatim. refused: the highest version that it went back from,
    with the reason; nothing up to it is taken again.
    """

    metadata: dict[str, str] = {}
    refused: int = 0
    refused_because: str = ""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the device remembers. time_floor: the highest time (ns) at which it accepted a bundle.
    pinned: it stays at its version."""

    current: Release | None = None
    previous: Release | None = None
    time_floor: int = 0
    scopes: dict[str, Trusted] = {}
    pinned: bool = False

    def trusted(self, scope: Scope) -> Trusted:
        return self.scopes.get(str(scope), Trusted())

    def with_trusted(self, scope: Scope, trusted: Trusted) -> "State":
        return msgspec.structs.replace(self, scopes={**self.scopes, str(scope): trusted})


_STATES = msgspec.json.Decoder(State)  # made once, before there are threads that decode


class Slots:
    """The current and the previous version in `directory`, which one process at a time may use.

    Reading never raises for damaged files: what does not match its hash is as if it were absent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._blobs = directory / "blobs"
        self._parts = directory / "parts"
        self._trying = directory / "trying"

    def state(self) -> State:
        """The newest intact state; the empty one for a new device."""
        for path in self._state_files():
            if (state := _read_state(path)) is not None:
                return state
        return State()

    def current(self) -> Installed | None:
        """The version to run: the newest that is intact on disk, None if there is none."""
        release = self.running()
        return None if release is None else self.load(release)

    def previous(self) -> Installed | None:
        """The version that `fall_back` would make current, None if there is none."""
        state = self.state()
        if state.previous is None or state.previous == self.running():
            return None
        return self.load(state.previous)

    def running(self) -> Release | None:
        """The release behind `current()`."""
        state = self.state()
        return next((r for r in (state.current, state.previous) if r is not None and self.load(r)), None)

    def load(self, release: Release) -> Installed | None:
        """The bytes of a release, or None if one of them is missing or damaged."""
        graph, spec, weights = (self.blob(address) for address in release.addresses)
        if graph is None or spec is None or weights is None:
            return None
        return Installed(release.version, graph, spec, weights, release.encoding, release.custom)

    def blob(self, address: str) -> bytes | None:
        """An artifact that the disk still has, whole."""
        return _intact(self._blobs / address, address)

    def part(self, address: str) -> bytes | None:
        """A piece that came before, whole."""
        return _intact(self._parts / address, address)

    def keep_part(self, address: str, data: bytes) -> None:
        """For `part`, also after a restart. Not synced: what a power cut spoils is asked for again."""
        self._parts.mkdir(parents=True, exist_ok=True)
        (self._parts / address).write_bytes(data)

    @contextmanager
    def trying(self, version: int) -> Iterator[None]:
        """Around what may take the whole process down: if it does, the next start knows."""
        mark = f"{version} {self.crashes(version) + 1}".encode()
        with suppress(OSError):  # on a disk that takes nothing the version runs all the same
            self._directory.mkdir(parents=True, exist_ok=True)
            _write_durably(self._trying, mark)
        try:
            yield
        finally:
            with suppress(OSError):
                self._trying.unlink(missing_ok=True)
                _sync(self._directory)

    def crashes(self, version: int) -> int:
        """How often in a row the process died while it tried this version."""
        try:
            tried, times = map(int, self._trying.read_bytes().split())
        except (OSError, ValueError):
            return 0
        return times if tried == version else 0

    def keep_parts_only(self, addresses: Collection[str]) -> None:
        """Forget the other pieces."""
        for path in self._parts.glob("*"):
            if path.name not in addresses:
                path.unlink()

    def commit(self, state: State, artifacts: Mapping[str, bytes] | None = None) -> None:
        """Makes `state` the current one, after writing the artifacts (address → bytes) that it needs.

        Raises OSError (disk full, read-only): the former state goes on, unless the very last sync
        failed; then `state()` tells which one counts.
        """
        self._discard_unneeded()
        self._blobs.mkdir(parents=True, exist_ok=True)
        for address, data in (artifacts or {}).items():
            if self.blob(address) is None:
                _write_durably(self._blobs / address, data)
        files = self._state_files()
        number = _number(files[0]) + 1 if files else 1
        payload = msgspec.json.encode(state)
        _write_durably(
            self._directory / f"{_STATE}{number}", blobs.address(payload).encode() + b"\n" + payload
        )

    def fall_back(self, reason: str) -> Installed | None:
        """Goes back to the previous version and never again takes the one that it left, nor an older one.

        Returns what is current now; None if there was no previous version: better no model than one
        that is known to be bad.
        """
        left = self.running()
        if left is None:
            return None
        state = self.state()
        previous = None if state.previous == left else state.previous
        trusted = state.trusted(left.scope)
        if left.version > trusted.refused:
            trusted = msgspec.structs.replace(trusted, refused=left.version, refused_because=reason)
        fallen = msgspec.structs.replace(state, current=previous, previous=None)
        self.commit(fallen.with_trusted(left.scope, trusted))
        return self.current()

    def _state_files(self) -> list[Path]:
        """Newest first."""
        files = (
            path for path in self._directory.glob(f"{_STATE}*") if path.name.removeprefix(_STATE).isdigit()
        )
        return sorted(files, key=_number, reverse=True)

    def _discard_unneeded(self) -> None:
        """Removes what earlier updates left, before an update and not after it: so a failure here cannot
        be mistaken for a failed update, and a full disk is relieved first."""
        intact = [path for path in self._state_files() if _read_state(path) is not None]
        for path in self._directory.glob(f"{_STATE}*"):
            if path not in intact[: _KEPT_STATES - 1]:
                path.unlink()
        state = self.state()
        needed = {
            address for r in (state.current, state.previous) if r is not None for address in r.addresses
        }
        for path in self._blobs.glob("*"):
            if path.name not in needed:
                path.unlink()


def _number(path: Path) -> int:
    return int(path.name.removeprefix(_STATE))


def _intact(path: Path, address: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if blobs.matches(data, address) else None


def _read_state(path: Path) -> State | None:
    try:
        expected, _, payload = path.read_bytes().partition(b"\n")
        if blobs.address(payload).encode() != expected:
            return None
        return _STATES.decode(payload)
    except (OSError, ValueError):
        return None


def _write_durably(path: Path, data: bytes) -> None:
    """The file is there whole or not at all, and once this returns, also after a power cut."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
