"""A released student for those that do not run iot-stream: C, ONNX, LiteRT, weights for torch.

Everything starts from the artifacts of a version, as a device gets them.
"""

from dataclasses import dataclass

from iot_stream.spec import Spec


@dataclass(frozen=True)
class Released:
    """A version's artifacts, and the name under which a person knows it."""

    name: str
    graph: bytes
    spec: Spec
    weights: bytes
    encoding: str
    resume: bytes
