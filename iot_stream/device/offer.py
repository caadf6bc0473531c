"""What a slot of the device's cohort offers, read from metadata that has been verified."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from tuf.api.metadata import TargetFile

from iot_stream.artifact import encodings, stages, trust
from iot_stream.artifact.blobs import is_address
from iot_stream.artifact.trust import Scope
from iot_stream.device.slots import Release, Trusted
from iot_stream.errors import Refused


@dataclass(frozen=True)
class Offer:
    """A release, its signed artifacts under the keys of a Release, and whom it is meant for.

    delta: what makes its weights of those at the address `base`.
    """

    release: Release
    targets: dict[str, TargetFile]
    audience: stages.Audience
    delta: TargetFile | None = None
    base: str = ""

    @classmethod
    def of(cls, scope: Scope, targets: Mapping[str, TargetFile]) -> "Offer":
        """Raises Refused ("unsupported", "malformed")."""
        chosen = _artifact_targets(targets)
        release = _release(scope, chosen)
        delta, base = targets.get(trust.DELTA), ""
        if delta is not None:
            custom = delta.custom if isinstance(delta.custom, Mapping) else {}
            base = str(custom.get(trust.BASE_FIELD, ""))
            if not is_address(base) or not _has_address(delta):
                raise Refused("malformed", f"{delta.path} does not say what it changes")
        return cls(release, chosen, stages.Audience.read(release.custom), delta, base)

    @classmethod
    def known(cls, scope: Scope, trusted: Trusted) -> "Offer | None":
        """What the slot offered when it was last heard of."""
        if not trusted.metadata:
            return None
        metadata = {name: text.encode() for name, text in trusted.metadata.items()}
        return cls.of(scope, trust.targets_of(metadata))


def _artifact_targets(targets: Mapping[str, TargetFile]) -> dict[str, TargetFile]:
    """Graph, spec and weights in the first encoding that this device reads, under the keys of a Release."""
    weights = next((name for e in encodings.names() if (name := trust.WEIGHTS + e) in targets), None)
    if weights is None:
        offered = ", ".join(name for name in targets if name.startswith(trust.WEIGHTS)) or "no weights"
        raise Refused("unsupported", f"{offered}; this device reads {', '.join(encodings.names())}")
    named = {"graph": trust.GRAPH, "spec": trust.SPEC, "weights": weights}
    chosen = {key: targets[name] for key, name in named.items() if name in targets}
    if len(chosen) < len(named) or not all(map(_has_address, chosen.values())):
        raise Refused(
            "malformed", f"a release needs {trust.GRAPH}, {trust.SPEC} and weights, each with its SHA-256"
        )
    return chosen


def _has_address(target: TargetFile) -> bool:
    return is_address(target.hashes.get("sha256", ""))


def _release(scope: Scope, targets: Mapping[str, TargetFile]) -> Release:
    weights = targets["weights"]
    try:
        custom = msgspec.convert(weights.custom, dict[str, str])
        version = int(custom["version"])
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        raise Refused("malformed", f"{weights.path} does not say its version: {error}") from error
    if version < 1:
        raise Refused("malformed", f"versions count from 1, {weights.path} says {version}")
    addresses = {key: target.hashes["sha256"] for key, target in targets.items()}
    return Release(scope, version, weights.path.removeprefix(trust.WEIGHTS), custom, **addresses)
