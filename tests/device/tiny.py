"""A student so small that a test can compute it by hand, and signed releases of it on a real broker."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from iot_stream import topics
from iot_stream.artifact import encodings
from iot_stream.artifact.pieces import Piece
from iot_stream.artifact.trust import Scope
from iot_stream.clock import wall
from iot_stream.cut import Cut
from iot_stream.device.model import Model
from iot_stream.device.settings import DeviceSettings
from iot_stream.mqtt import Connection
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle
from iot_stream.spec import Spec

CHANNELS = ("x", "y")
CLASSES = ("low", "high")
CUT = Cut(CHANNELS, CHANNELS, 4, 2)
GOLDEN = np.linspace(0.1, 2, 3 * 4 * 2, dtype=np.float32).reshape(3, 4, 2)


def spec(cut: Cut = CUT) -> bytes:
    count = len(cut.inputs)
    golden = GOLDEN[:, : cut.length, :count].tobytes()
    return Spec(cut, CLASSES, (0.0,) * count, (1.0,) * count, golden=golden).encode()


def graph(last: str | None = None, inputs: int = 2) -> bytes:
    """logits = flat(x)·w + b, and `last` over it: "Log" is NaN where the sum is negative."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["sum" if last else "logits"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["sum"], ["logits"]))
    given = [
        value("x", TensorProto.FLOAT, ["n", CUT.length, inputs]),
        value("w", TensorProto.FLOAT, [CUT.length * inputs, 2]),
        value("b", TensorProto.FLOAT, [2]),
    ]
    made = helper.make_graph(nodes, "tiny", given, [value("logits", TensorProto.FLOAT, ["n", 2])])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def weights(version: int) -> dict[str, NDArray[np.float32]]:
    """Their own for each version, and positive: so that `graph("Log")` passes its self-test."""
    rng = np.random.default_rng(version)
    return {
        "w": rng.uniform(0.1, 1, (CUT.length * 2, 2)).astype(np.float32),
        "b": rng.uniform(0.1, 1, 2).astype(np.float32),
    }


def expected(version: int, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits of a version for windows (n, 4, 2), with the weights as a device decodes them."""
    decoded = encodings.decode("int8", encodings.encode("int8", weights(version))).tensors
    return x.reshape(len(x), -1) @ decoded["w"] + decoded["b"]


class Publisher:
    """Signs and publishes as the service would, from anybody's keys."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        keys: Keys,
        cohort: str = "all",
        slot: str = "stable",
    ) -> None:
        self._connection, self._prefix = connection, prefix
        self._cohort, self._slot = cohort, slot
        self.repository = Repository(keys, Scope("p", cohort, slot))

    def targets(
        self, version: int, graph_: bytes | None = None, spec_: bytes | None = None, selftest: bool = True
    ) -> dict[str, Target]:
        graph_, spec_ = graph_ or graph(), spec_ or spec()
        bare = encodings.encode("int8", weights(version))
        model = Model.build(version, graph_, spec_, bare, "int8")
        golden = model.logits(model.spec.golden_windows()) if selftest else np.zeros((3, 2), np.float32)
        packed = encodings.encode("int8", weights(version), golden)
        return {
            "graph.onnx": Target(graph_),
            "spec.json": Target(spec_),
            "weights.int8": Target(packed, {"encoding": "int8"}),
        }

    def flat_targets(self, version: int) -> dict[str, Target]:
        """A model that knows nothing: its weights are all alike, each class is as likely as the other."""
        same = {name: np.full_like(values, 0.5) for name, values in weights(version).items()}
        bare = encodings.encode("int8", same)
        model = Model.build(version, graph(), spec(), bare, "int8")
        packed = encodings.encode("int8", same, model.logits(model.spec.golden_windows()))
        return {
            "graph.onnx": Target(graph()),
            "spec.json": Target(spec()),
            "weights.int8": Target(packed, {"encoding": "int8"}),
        }

    def sign(
        self, version: int, targets: dict[str, Target], now: int = 0
    ) -> tuple[bytes, dict[Piece, bytes]]:
        entries = self.repository.release(version, targets, now or wall())
        return bundle(entries, targets)

    def publish_bundle(self, payload: bytes) -> None:
        topic = topics.BUNDLE.of(prefix=self._prefix, pipeline="p", cohort=self._cohort, slot=self._slot)
        self._connection.publish_and_wait(topic, payload, retain=True)

    def publish_blobs(self, blobs: Iterable[tuple[Piece, bytes]]) -> None:
        for piece, content in blobs:
            topic = topics.BLOB.of(prefix=self._prefix, pipeline="p", sha256=piece.artifact, n=str(piece.n))
            self._connection.publish_and_wait(topic, content, retain=True)

    def release(self, version: int, graph_: bytes | None = None, spec_: bytes | None = None) -> bytes:
        payload, apart = self.sign(version, self.targets(version, graph_, spec_))
        self.publish_blobs(apart.items())
        self.publish_bundle(payload)
        return payload

    def assign(self, device: str, cohort: str, *, pinned: bool = False) -> None:
        topic = topics.COHORT.of(prefix=self._prefix, pipeline="p", device=device)
        self._connection.publish_and_wait(topic, topics.encode(topics.Cohort(cohort, pinned)), retain=True)


def device_settings(url: str, prefix: str, keys: Keys, state: Path, device: str = "d") -> DeviceSettings:
    root = keys.newest_root.decode()
    return DeviceSettings(pipeline="p", device=device, root=root, broker=url, prefix=prefix, state=str(state))
