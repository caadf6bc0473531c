"""Versions of a cohort's student in the registry: taken out, held against the configuration, added."""

from typing import Any

from iot_stream.clock import wall
from iot_stream.distill.student import Packed
from iot_stream.service.stages import Learner
from iot_stream.spec import Spec
from iot_stream.store import Store
from iot_stream.store.registry import Version


def packed_version(store: Store, version: Version) -> Packed:
    """A version's artifacts from the registry."""
    get = store.registry.artifact
    return Packed(
        get(version.graph), get(version.spec), get(version.weights), version.encoding, get(version.resume)
    )


def another_form(store: Store, version: Version, learner: Learner) -> str:
    """Why a version cannot be trained on under this configuration; "" where it can."""
    before, now = Spec.decode(store.registry.artifact(version.spec)), learner.architecture.spec
    if before.classes != now.classes:
        return f"the classes are now {', '.join(now.classes)}, and were {', '.join(before.classes)}"
    if before.cut != now.cut:
        return "the student's channels or windows are others now"
    if before.masks != now.masks or not before.of_one_bootstrap(now):
        return "the bootstrap that the student's inputs are normalised by is another now"
    network = repr(learner.pipeline.student)
    if version.provenance.get("network", network) != network:
        return f"the student's network is now {network}"
    return ""


def add_version(
    store: Store,
    tx: Any,
    pipeline: str,
    cohort: str,
    round_id: str,
    packed: Packed,
    provenance: dict[str, Any],
    above: int = 0,
) -> Version:
    """The next version of a cohort, numbered above all that there were and above `above`, within a
    transaction: artifacts and row together, or neither."""
    released = store.registry.released(pipeline, cohort, "stable", 1)
    number = max(store.registry.highest(pipeline, cohort), *released, above) + 1
    put = store.registry.put_artifact
    if packed.delta:
        change: dict[str, Any] = {"artifact": put(tx, packed.delta), "base": packed.base}
        change |= {"accuracy_change": packed.accuracy_change}
        provenance = provenance | {"delta": change}
    version = Version(
        pipeline,
        cohort,
        number,
        round_id,
        wall(),
        put(tx, packed.graph),
        put(tx, packed.spec),
        put(tx, packed.weights),
        packed.encoding,
        put(tx, packed.resume),
        provenance,
    )
    store.registry.add_version(tx, version)
    return version
