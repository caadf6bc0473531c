"""A teacher: one model or several unlike ones, that learn from labels and speak of windows."""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.models import architectures
from iot_stream.distill.registry import unknown
from iot_stream.distill.teachers.estimators import ESTIMATORS, EstimatorMember
from iot_stream.distill.teachers.member import Lessons, Member, State
from iot_stream.distill.teachers.network import NetworkMember
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ConfigError, ModelError
from iot_stream.readings import Values
from iot_stream.windows import Cut, Spec, normalisation

FORMAT = "teacher-2"  # change when the same data and settings would train otherwise
ENSEMBLE = "ensemble"
LEAST = 1e-6  # a probability below this says no more than that


@dataclass(frozen=True)
class Teacher:
    """`key` names what the first training was made of; it stays through fine-tuning."""

    key: str
    spec: Spec
    members: tuple[Member, ...]

    def logits(self, windows: Values) -> Values:
        """(n, length, inputs) raw teacher windows → (n, classes); of several members the log of the equal
        mean of their probabilities."""
        if not len(windows):
            return np.zeros((0, len(self.spec.classes)), np.float32)
        x = self.spec.model_input(windows)
        said = [member.logits(x) for member in self.members]
        if len(said) == 1:
            return said[0]
        mean = np.mean([_softmax(each) for each in said], axis=0)
        return np.asarray(np.log(np.maximum(mean, LEAST)), np.float32)

    @property
    def parameters(self) -> int:
        return sum(member.parameters for member in self.members)

    def to_bytes(self) -> bytes:
        state = {
            f"{number}/{name}": np.ascontiguousarray(value)
            for number, member in enumerate(self.members)
            for name, value in member.state().items()
        }
        return safetensors.numpy.save(state)


def key_of(
    windows: Values, labels: NDArray[np.int64], cut: Cut, network: Network, settings: TrainSettings, seed: int
) -> str:
    """The hash of all that makes this teacher: the same data and settings are not trained twice."""
    digest = hashlib.sha256(np.ascontiguousarray(windows).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    digest.update(json.dumps([FORMAT, cut.id, repr(network), repr(settings), seed]).encode())
    return digest.hexdigest()


def train(
    key: str,
    windows: Values,
    labels: NDArray[np.int64],
    cut: Cut,
    classes: tuple[str, ...],
    masks: bool,
    network: Network,
    settings: TrainSettings,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Teacher, Trained]:
    """Stage *training*: `windows` (n, length, inputs) raw, `labels` (n,). Raises ModelError."""
    missing = [name for k, name in enumerate(classes) if not (labels == k).any()]
    if missing:
        raise ModelError(
            f"no labelled window of {', '.join(missing)} to learn from; widen recordings.bootstrap.teacher"
        )
    spec = Spec(cut, classes, *normalisation(windows), masks)
    lessons = Lessons(spec.model_input(windows), labels)
    members: list[Member] = []
    costs = []
    for number, each in enumerate(_members(network)):
        member: Member
        if each.arch in ESTIMATORS.names():
            member, cost = EstimatorMember.fitted(each, lessons)
        else:
            member, cost = NetworkMember.trained(each, spec, lessons, settings, seed + number, progress)
        members.append(member)
        costs.append(cost)
    return Teacher(key, spec, tuple(members)), _together(costs)


def tune(
    teacher: Teacher, fresh: Lessons, known: Lessons, settings: TrainSettings, seed: int
) -> tuple[Teacher, Trained]:
    """The teacher after fresh labels (raw windows), with what it was first taught replayed."""
    fresh, known = (replace(each, x=teacher.spec.model_input(each.x)) for each in (fresh, known))
    tuned = [
        member.tuned(fresh, known, settings, seed + number) for number, member in enumerate(teacher.members)
    ]
    return replace(teacher, members=tuple(member for member, _ in tuned)), _together([c for _, c in tuned])


def from_bytes(
    key: str, content: bytes, spec: Spec, network: Network, hardware: Hardware | None = None
) -> Teacher:
    """What `to_bytes` gave, under the same spec and settings."""
    states: dict[int, dict[str, NDArray[np.float32]]] = {}
    for name, value in safetensors.numpy.load(content).items():
        number, _, own = name.partition("/")
        states.setdefault(int(number), {})[own] = value
    members = [
        _restored(each, spec, states[number], hardware or Hardware())
        for number, each in enumerate(_members(network))
    ]
    return Teacher(key, spec, tuple(members))


def _restored(network: Network, spec: Spec, state: State, hardware: Hardware) -> Member:
    if network.arch in ESTIMATORS.names():
        return EstimatorMember.restored(network, state)
    return NetworkMember.restored(network, spec, state, hardware)


def _members(network: Network) -> list[Network]:
    """The models of a teacher's settings: `{arch: ensemble, members: [{arch: …}, …]}`, or itself alone."""
    known = [*architectures(), *ESTIMATORS.names()]
    if network.arch != ENSEMBLE:
        if network.arch not in known:
            raise ModelError(unknown("teacher", network.arch, [*known, ENSEMBLE]))
        return [network]
    options = dict(network.options)
    listed = options.pop("members", None)
    if options or not isinstance(listed, list) or not listed:
        raise ModelError("teacher: an ensemble is {arch: ensemble, channels: […], members: [{arch: …}, …]}")
    try:
        members = [Network.parse(each) for each in listed]
    except ConfigError as error:
        raise ModelError(f"teacher.members: {error}") from error
    for each in members:
        if each.arch not in known:
            raise ModelError(unknown("teacher.members", each.arch, known))
        if each.channels:
            raise ModelError("teacher.members: channels are the teacher's, all members see the same")
    return members


def _together(costs: list[Trained]) -> Trained:
    losses = {name: value for cost in costs for name, value in cost.losses.items()}
    return Trained(
        losses,
        sum(cost.steps for cost in costs),
        sum(cost.seconds for cost in costs),
        sum(cost.cpu_seconds for cost in costs),
        windows=sum(cost.windows for cost in costs),
    )


def _softmax(logits: Values) -> NDArray[np.float64]:
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)
