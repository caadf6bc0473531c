"""Where trained models are kept, each under the hash of all that made it."""

from typing import Any, Protocol

import msgspec

from iot_stream.config import Pipeline
from iot_stream.distill import teachers
from iot_stream.distill.checkpoints import Keeper
from iot_stream.distill.student import Packed
from iot_stream.distill.teachers import Teacher


class Models(Protocol):
    """Where trained models are kept under the hash of what made them: the registry, or a replay's memory."""

    def model(self, key: str) -> tuple[bytes, dict[str, Any]] | None: ...

    def put_model(self, key: str, kind: str, content: bytes, report: dict[str, Any]) -> None: ...

    def checkpoint(self, key: str) -> Keeper | None:
        """Where a training of this key outlives the process; None where it need not."""
        ...

    def drop_checkpoints(self, prefix: str) -> None: ...


class _Kept(msgspec.Struct):
    """A student's artifacts in one piece, as the registry keeps rivals."""

    graph: bytes
    spec: bytes
    weights: bytes
    encoding: str
    resume: bytes


def keep(packed: Packed) -> bytes:
    return msgspec.msgpack.encode(
        _Kept(packed.graph, packed.spec, packed.weights, packed.encoding, packed.resume)
    )


def unpack(content: bytes) -> Packed:
    kept = msgspec.msgpack.decode(content, type=_Kept)
    return Packed(kept.graph, kept.spec, kept.weights, kept.encoding, kept.resume)


def keep_tuned(models: Models, teacher: Teacher, round_id: str) -> None:
    """The teacher as a round left it, in place of the last."""
    models.put_model(_tuned_key(teacher), "tuned teacher", teacher.to_bytes(), {"round": round_id})


def tuned(models: Models, teacher: Teacher, pipeline: Pipeline) -> Teacher:
    """The teacher as the last round left it."""
    kept = models.model(_tuned_key(teacher))
    if kept is None:
        return teacher
    return teachers.from_bytes(teacher.key, kept[0], teacher.spec, pipeline.teacher, pipeline.train)


def _tuned_key(teacher: Teacher) -> str:
    return f"{teacher.key}:tuned"
