"""A teacher: one model or several unlike ones, that learn from labels and speak of windows."""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import TrainSettings
from iot_stream.distill.registry import unknown
from iot_stream.distill.teachers.member import KINDS, Follower, Lessons, Member
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ConfigError, ModelError
from iot_stream.readings import Times, Values
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
    def follows(self) -> bool:
        """Whether it can show windows of the past as they would look now."""
        return any(isinstance(member, Follower) for member in self.members)

    def as_now(self, windows: Values, classes: NDArray[np.int64], ends: Times) -> Values:
        """Raw windows (n, length, inputs) of `classes` (n,) that ended then (n,; ns), as they would look now;
        as they are where no member follows its classes. Values that are missing stay missing."""
        followers = [member for member in self.members if isinstance(member, Follower)]
        if not followers:
            return windows
        x = self.spec.model_input(windows)
        moved = np.mean([each.as_now(x, classes, ends) for each in followers], axis=0) - x
        inputs = windows.shape[2]
        return np.asarray(windows + moved[:, :, :inputs] * np.array(self.spec.scale), np.float32)

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
    lessons: Lessons,
    cut: Cut,
    classes: tuple[str, ...],
    masks: bool,
    network: Network,
    settings: TrainSettings,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Teacher, Trained]:
    """Stage *training*: `lessons` of raw windows, all labelled. Raises ModelError."""
    missing = [name for k, name in enumerate(classes) if not (lessons.y == k).any()]
    if missing:
        raise ModelError(
            f"no labelled window of {', '.join(missing)} to learn from; widen recordings.bootstrap.teacher"
        )
    spec = Spec(cut, classes, *normalisation(lessons.x), masks)
    scaled = replace(lessons, x=spec.model_input(lessons.x))
    trained = [
        KINDS.get(each.arch).trained(each, spec, scaled, settings, seed + number, progress)
        for number, each in enumerate(_members(network))
    ]
    return Teacher(key, spec, tuple(member for member, _ in trained)), _together([c for _, c in trained])


def tune(
    teacher: Teacher, fresh: Lessons, known: Lessons, settings: TrainSettings, seed: int
) -> tuple[Teacher, Trained]:
    """The teacher after the stream's fresh windows (raw), labelled or not, with what it was first taught
    replayed; itself where none of its members learnt anything."""
    fresh, known = (replace(each, x=teacher.spec.model_input(each.x)) for each in (fresh, known))
    tuned = [
        member.tuned(fresh, known, settings, seed + number) for number, member in enumerate(teacher.members)
    ]
    cost = _together([cost for _, cost in tuned])
    if all(new is old for (new, _), old in zip(tuned, teacher.members, strict=True)):
        return teacher, cost
    return replace(teacher, members=tuple(member for member, _ in tuned)), cost


def from_bytes(key: str, content: bytes, spec: Spec, network: Network) -> Teacher:
    """What `to_bytes` gave, under the same spec and settings."""
    states: dict[int, dict[str, NDArray[np.float32]]] = {}
    for name, value in safetensors.numpy.load(content).items():
        number, _, own = name.partition("/")
        states.setdefault(int(number), {})[own] = value
    members = [
        KINDS.get(each.arch).restored(each, spec, states.get(number, {}))
        for number, each in enumerate(_members(network))
    ]
    return Teacher(key, spec, tuple(members))


def _members(network: Network) -> list[Network]:
    """The models of a teacher's settings: `{arch: ensemble, members: [{arch: …}, …]}`, or itself alone."""
    known = KINDS.names()
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
    )


def _softmax(logits: Values) -> NDArray[np.float64]:
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)
