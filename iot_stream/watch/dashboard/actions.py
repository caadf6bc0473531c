"""What can be done from the page: each is what a command at the terminal does, and is written down as done by
the dashboard."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from iot_stream import operate
from iot_stream.clock import SECOND
from iot_stream.config import Config, Pipeline
from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError, nearest
from iot_stream.store import Store

WHO = "dashboard"
WAIT_S = 10.0
"""For a part of the service; one that is in the middle of a round answers after it."""
DISTIL_WAIT_S = 1.0  # a round is watched, not waited for

Moment = Annotated[float, Meta(ge=0, le=9e9, description="seconds since 1970")]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class Action(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Of one pipeline; its fields are what the page sends. `does`: for people."""

    does: ClassVar[str] = ""

    pipeline: str

    def do(self, store: Store, settings: Pipeline) -> str:
        """What came of it, in a sentence; raises IotStreamError."""
        raise NotImplementedError  # each has its own; `ACTIONS` names those that are made


class Distil(Action):
    does: ClassVar[str] = "a round now"

    def do(self, store: Store, settings: Pipeline) -> str:  # noqa: ARG002
        return operate.distil(store, WHO, DISTIL_WAIT_S, self.pipeline)


class RollBack(Action):
    does: ClassVar[str] = "the weights of a version again, as a new version"

    version: int
    cohort: str = ALL
    reason: Annotated[str, Meta(max_length=500)] = ""

    def do(self, store: Store, settings: Pipeline) -> str:  # noqa: ARG002
        return operate.roll_back(
            store, WHO, WHO, WAIT_S, self.pipeline, self.cohort, self.version, self.reason
        )


class Steer(Action):
    does: ClassVar[str] = "a rollout advanced, paused, resumed or called off"

    action: Literal["advance", "pause", "resume", "abort"]
    reason: Reason
    cohort: str = ALL

    def do(self, store: Store, settings: Pipeline) -> str:  # noqa: ARG002
        return operate.steer(store, WHO, WHO, WAIT_S, self.pipeline, self.cohort, self.action, self.reason)


class Pause(Action):
    does: ClassVar[str] = "nothing learnt from a device, or from all (device left out)"

    reason: Reason
    device: str = ""

    def do(self, store: Store, settings: Pipeline) -> str:
        return operate.pause(store, WHO, self.pipeline, settings, self.device, self.reason)


class Resume(Action):
    does: ClassVar[str] = "learnt from again"

    device: str = ""

    def do(self, store: Store, settings: Pipeline) -> str:
        return operate.resume(store, self.pipeline, settings, self.device)


class BelieveTeacher(Action):
    does: ClassVar[str] = "a teacher that is held believed again"

    def do(self, store: Store, settings: Pipeline) -> str:
        return operate.believe_teacher(store, WHO, WAIT_S, self.pipeline, settings)


class Exclude(Action):
    does: ClassVar[str] = "a time taken out of all training"

    start: Moment
    end: Moment
    reason: Reason
    device: str = ""

    def do(self, store: Store, settings: Pipeline) -> str:  # noqa: ARG002
        start, end = round(self.start * SECOND), round(self.end * SECOND)
        return operate.exclude(store, WHO, self.pipeline, self.device, start, end, self.reason)


class Include(Action):
    does: ClassVar[str] = "an excluded time learnt from after all"

    number: int

    def do(self, store: Store, settings: Pipeline) -> str:  # noqa: ARG002
        return operate.include(store, self.pipeline, self.number)


class Replaced(Action):
    does: ClassVar[str] = "another sensor speaks as the device"

    device: str

    def do(self, store: Store, settings: Pipeline) -> str:
        return operate.replaced(store, WHO, self.pipeline, settings, self.device)


ACTIONS: dict[str, type[Action]] = {
    "distil": Distil,
    "rollback": RollBack,
    "rollout": Steer,
    "pause": Pause,
    "resume": Resume,
    "believe-teacher": BelieveTeacher,
    "exclude": Exclude,
    "include": Include,
    "replaced": Replaced,
}


def carry_out(config: Config, store: Store, name: str, body: bytes) -> str:
    """What came of it, in a sentence; `body`: the action's fields as JSON. May take seconds. Raises
    IotStreamError."""
    kind = ACTIONS.get(name)
    if kind is None:
        raise ConfigError(f"no action {name!r}; {nearest(name, ACTIONS)}")
    try:
        action = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{name}: {error}") from error
    settings = config.pipelines.get(action.pipeline)
    if settings is None:
        raise ConfigError(f"no pipeline {action.pipeline!r}; there are {', '.join(config.pipelines)}")
    return action.do(store, settings)
