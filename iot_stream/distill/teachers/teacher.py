"""A teacher: one model or several unlike ones, that learn from labels and speak of windows."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.config.names import ENSEMBLE
from iot_stream.config.network import ONNX, TOPIC
from iot_stream.cut import Cut
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.models.factory import source_hash
from iot_stream.distill.teachers.factory import Factory
from iot_stream.distill.teachers.foreign import ForeignMember
from iot_stream.distill.teachers.member import (
    KINDS,
    LEAST,
    Follower,
    Kind,
    Lessons,
    Member,
    check_lessons,
)
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ConfigError, ModelError, nearest
from iot_stream.readings import Times, Values
from iot_stream.spec import Spec, normalisation

FORMAT = "teacher-3"  # change when the same data and settings would train otherwise
READY = (ONNX, TOPIC)  # kinds that learn nothing here


@dataclass(frozen=True)
class Teacher:
    """`key` names what the first training was made of; it stays through fine-tuning."""

    key: str
    spec: Spec
    members: tuple[Member, ...]

    def logits(self, windows: Values) -> Values:
        """(n, length, inputs) raw teacher windows → (n, classes); of several members the log of the equal
        mean of their probabilities. NaN where there is no word. Raises ModelError."""
        if not len(windows):
            return np.zeros((0, len(self.spec.classes)), np.float32)
        x = self.spec.model_input(windows)
        said = [member.logits(windows if isinstance(member, ForeignMember) else x) for member in self.members]
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
    made_of = [content for each in _members(network) if (content := _made_of(each))]
    digest.update(json.dumps([FORMAT, cut.id, repr(network), repr(settings), seed, *made_of]).encode())
    return digest.hexdigest()


def _made_of(network: Network) -> str:
    """What is behind a name outside of the settings."""
    if network.own:
        return source_hash(network.arch)
    if network.arch == ONNX:
        path = Path(str(dict(network.options)[ONNX]))
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"teacher.onnx: {path}: {error.strerror}") from error
    return ""


def ready(network: Network) -> bool:
    """Whether a teacher may need no labels: all of it is made elsewhere, or by the user."""
    return all(each.own or each.arch in READY for each in _members(network))


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
    checkpoints: Callable[[int], Checkpoints | None] = lambda _: None,
) -> tuple[Teacher, Trained]:
    """Stage *training*: `lessons` of raw windows, all labelled; none, where it is `ready`. `checkpoints` of
    each member, by its number. Raises ModelError."""
    if not ready(network):
        check_lessons(lessons, classes)
    spec = Spec(cut, classes, *normalisation(lessons.x), masks)
    scaled = replace(lessons, x=spec.model_input(lessons.x))
    trained = [
        _kind(each).trained(each, spec, scaled, settings, seed + number, progress, checkpoints(number))
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


def from_bytes(
    key: str, content: bytes, spec: Spec, network: Network, hardware: Hardware | None = None
) -> Teacher:
    """What `to_bytes` gave, under the same spec and settings."""
    states: dict[int, dict[str, NDArray[np.float32]]] = {}
    for name, value in safetensors.numpy.load(content).items():
        number, _, own = name.partition("/")
        states.setdefault(int(number), {})[own] = value
    members = [
        _kind(each).restored(each, spec, states.get(number, {}), hardware or Hardware())
        for number, each in enumerate(_members(network))
    ]
    return Teacher(key, spec, tuple(members))


def _kind(network: Network) -> Kind:
    return Factory if network.own else KINDS.get(network.arch)


def _members(network: Network) -> list[Network]:
    """The models of a teacher's settings: `{arch: ensemble, members: [{arch: …}, …]}`, or itself alone."""
    known = KINDS.names()
    if network.arch != ENSEMBLE:
        if network.arch not in known and not network.own:
            raise ModelError(f"no teacher {network.arch!r}; {nearest(network.arch, [*known, ENSEMBLE])}")
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
        if each.topic:
            raise ModelError("teacher.members: a topic teaches alone: it sees what it says, no other channel")
        if each.arch not in known and not each.own:
            raise ModelError(f"no teacher.members {each.arch!r}; {nearest(each.arch, known)}")
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
