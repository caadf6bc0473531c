"""Names of what the distiller has, so that a wrong one is told before torch, or a recording, is loaded. The
registries are `distill`'s."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from iot_stream.config.network import ONNX, TOPIC, Network
from iot_stream.errors import ConfigError, nearest

LOSSES = ("kd", "binary", "decoupled", "dist", "hints", "logit_mse", "standardised")
ARCHITECTURES = ("mlp", "resnet1d", "mobilenet1d", "resnet18", "mobilenet_v2")
TEACHERS = (*ARCHITECTURES, "lda", "svc", "drift")
ENSEMBLE = "ensemble"


def checks(loss: str, student: Network, teacher: Network) -> Iterator[tuple[str, partial[None]]]:
    """(setting, what raises ConfigError if it is wrong)"""
    yield "distill.loss", partial(_known, "loss", loss, LOSSES)
    if not student.own:
        yield "student.arch", partial(_known, "architecture", student.arch, ARCHITECTURES)
    if not teacher.own and teacher.arch not in (ONNX, TOPIC):
        yield "teacher.arch", partial(_known, "teacher", teacher.arch, (*TEACHERS, ENSEMBLE))
    members: Any = dict(teacher.options).get("members", ()) if teacher.arch == ENSEMBLE else ()
    for i, member in enumerate(members if isinstance(members, list) else ()):
        if isinstance(member, dict) and isinstance(arch := member.get("arch"), str):
            yield f"teacher.members.{i}.arch", partial(_known, "teacher", arch, TEACHERS)


def _known(kind: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ConfigError(f"no {kind} {name!r}; {nearest(name, names)}")
