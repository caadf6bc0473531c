"""A version that passes every test and is wrong in the field: what staged rollouts are for."""

from collections.abc import Callable
from functools import partial

import msgspec

from iot_stream.clock import wall
from iot_stream.spec import Spec
from iot_stream.store import Store
from iot_stream.store.registry import Version

SPOKEN = 20  # predictions of each device, before and after which its accuracy is known


class Sabotage:
    """Once the fleet runs, its newest version goes out again with the names of its classes mixed up: its
    weights are the same, so the self-test passes, and every answer is wrong."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._done = False

    def __call__(self, say: Callable[[str], None]) -> None:
        if self._done or not self._fleet_speaks():
            return
        version = mislabelled(self._store, self._name)
        say(f"demo     version {version.version} is released by mistake: its classes are mixed up")
        self._done = True

    def _fleet_speaks(self) -> bool:
        devices = self._store.registry.devices(self._name)
        spoken = partial(self._store.journal.said_beside, self._name)
        said = [len(spoken(each.device, "", 0, 2**62, SPOKEN)) for each in devices]
        return bool(said) and min(said) >= SPOKEN


def mislabelled(store: Store, name: str) -> Version:
    """The newest version once more, each class under the name of the next."""
    newest = store.registry.newest(name, "all")
    assert newest is not None, "devices speak, so there is a version"
    spec = Spec.decode(store.registry.artifact(newest.spec))
    wrong = msgspec.structs.replace(spec, classes=(*spec.classes[1:], spec.classes[0]))
    with store.write() as tx:
        version = newest._replace(
            version=store.registry.highest(name, "all") + 1,
            created=wall(),
            spec=store.registry.put_artifact(tx, wrong.encode()),
            provenance=newest.provenance | {"gate": {"reason": "by mistake: its classes are mixed up"}},
        )
        store.registry.add_version(tx, version)
    return version
