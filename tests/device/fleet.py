"""A publisher and a device without a broker between them, and ways to spoil what passes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iot_stream.artifact import trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND, wall
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import Updater
from iot_stream.errors import Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle

SCOPE = Scope("office", "all")
DAY = 24 * 3600 * SECOND
GRAPH, SPEC = b"onnx graph", b'{"length":1}'
NOW = wall()


def targets(version: int, weights: bytes | None = None) -> dict[str, Target]:
    data = f"weights of version {version}".encode() if weights is None else weights
    return {
        "graph.onnx": Target(GRAPH),
        "spec.json": Target(SPEC),
        "weights.int8": Target(data, {"gate": "0.912 > 0.881"}),
    }


def accept(installed: Installed) -> None:
    """A self-test that is content with anything."""


class Fleet:
    """One honest repository and one device, set up with its root."""

    def __init__(self, keys: Keys, directory: Path, scope: Scope = SCOPE) -> None:
        self.keys = keys
        self.scope = scope
        self.repository = Repository(keys, scope)
        self.directory = directory
        self.slots = Slots(directory)
        self.apart: dict[str, bytes] = {}

    def publish(self, version: int, now: int = NOW, repository: Repository | None = None) -> bytes:
        content = targets(version)
        payload, apart = bundle((repository or self.repository).release(version, content, now), content)
        self.apart.update({piece.sha256: data for piece, data in apart.items()})
        return payload

    def apply(
        self,
        payload: bytes,
        now: int = NOW,
        self_test: Callable[[Installed], None] = accept,
        scope: Scope = SCOPE,
    ) -> Installed | None:
        updater = Updater(Slots(self.directory), self.keys.root_chain()["1.root.json"], scope)
        return updater.apply(payload, self.apart, now, self_test)

    def disk(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}

    def runs(self) -> int | None:
        current = Slots(self.directory).current()
        return None if current is None else current.version

    def refuses(self, payload: bytes, reason: str, **arguments: Any) -> None:
        """The refusal has this reason, leaves no trace, and does not hinder the next honest release."""
        before, running = self.disk(), self.runs()
        with pytest.raises(Refused) as refusal:
            self.apply(payload, **arguments)
        assert refusal.value.reason == reason, str(refusal.value)
        assert refusal.value.reason in trust.REASONS
        assert self.disk() == before
        assert self.runs() == running


def altered(payload: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    entries = trust.unpack_bundle(payload)
    return trust.pack_bundle({**entries, name: change(entries[name])})


def edited(payload: bytes, name: str, edit: Callable[[dict[str, Any]], object]) -> bytes:
    def change(data: bytes) -> bytes:
        content = json.loads(data)
        edit(content)
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()

    return altered(payload, name, change)


def weights_blob(payload: bytes) -> str:
    return next(name for name in trust.unpack_bundle(payload) if name.startswith("blob/"))
