"""What a person can do to a service, at a terminal or on a page; each says in a sentence what came of it.

`who` is written down with it. What a running part must do is asked of it by a command in the store.
"""

import time
from difflib import get_close_matches
from typing import Any

from iot_stream.clock import iso, wall
from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError, ModelError
from iot_stream.store import Store
from iot_stream.store.doubts import CLEAR

COLLECTOR, DISTILLER, PUBLISHER = "collector", "distiller", "publisher"
ROLLOUT_ACTIONS = ("advance", "pause", "resume", "abort")
ASKING_S = 0.1


def known_device(store: Store, pipeline: str, name: str) -> None:
    """Raises ConfigError if nothing of the device is stored: a slip of the pen would do nothing, silently."""
    known = {*store.journal.readings(pipeline), *(sent.device for sent in store.summaries.totals(pipeline))}
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"is {near[0]} meant?" if near else "`iot-stream windows stats` shows those that have"
        raise ConfigError(f"{pipeline} has no reading of {name!r}; {hint}")


def now(store: Store, pipeline: str, settings: Pipeline) -> int:
    """On the pipeline's clock (ns)."""
    return store.journal.now(pipeline) if settings.clock == "stream" else wall()


# --- asked of a running part ----------------------------------------------------------------


def ask(store: Store, who: str, part: str, wait: float, kind: str, pipeline: str, **arguments: Any) -> str:
    """What came of it, or, after `wait` seconds, that it was asked for; raises ModelError."""
    command = store.registry.command(who, kind, pipeline, **arguments)
    state, outcome = _waited(store, command, wait)
    if state == "open":
        missing = f"no {part} has answered yet, is `iot-stream serve` running?"
        outcome = f"asked for as command {command}; {missing}"
    return outcome


def _waited(store: Store, command: int, wait: float) -> tuple[str, str]:
    """State and outcome of a command, after `wait` seconds at most; raises ModelError if it failed."""
    deadline = time.monotonic() + wait
    state, outcome = store.registry.outcome(command)
    while state == "open" and time.monotonic() < deadline:
        time.sleep(ASKING_S)
        state, outcome = store.registry.outcome(command)
    if state == "failed":
        raise ModelError(outcome)
    return state, outcome


def distil(store: Store, who: str, wait: float, pipeline: str) -> str:
    """A round now, of each cohort that has new windows; it is watched rather than waited for."""
    command = store.registry.command(who, "distil", pipeline)
    state, outcome = _waited(store, command, wait)
    return (
        outcome if state == "done" else f"asked for as command {command}; a distiller that runs begins soon"
    )


def roll_back(
    store: Store, who: str, person: str, wait: float, pipeline: str, cohort: str, version: int, reason: str
) -> str:
    return ask(
        store, who, DISTILLER, wait, "rollback", pipeline,
        version=version, cohort=cohort, person=person, why=reason,
    )  # fmt: skip


def steer(
    store: Store, who: str, person: str, wait: float, pipeline: str, cohort: str, action: str, reason: str
) -> str:
    """A rollout; `action` is one of ROLLOUT_ACTIONS."""
    return ask(
        store, who, PUBLISHER, wait, "rollout", pipeline,
        action=action, cohort=cohort, person=person, why=reason,
    )  # fmt: skip


def forget(store: Store, who: str, wait: float, pipeline: str, device: str) -> str:
    """A device that will not come back."""
    return ask(store, who, PUBLISHER, wait, "forget", pipeline, device=device)


def pin(
    store: Store, who: str, person: str, wait: float, pipeline: str, device: str, reason: str, *, pinned: bool
) -> str:
    """A device stays at the version that it runs, or follows releases again."""
    return ask(
        store, who, PUBLISHER, wait, "pin", pipeline,
        device=device, pinned=pinned, person=person, why=reason,
    )  # fmt: skip


def believe_teacher(store: Store, who: str, wait: float, pipeline: str, settings: Pipeline) -> str:
    """Nothing from before now speaks against it any more."""
    if not store.doubts.standing(pipeline):
        raise ConfigError(f"the teacher of {pipeline} is not held; `iot-stream pause` lists what is")
    return ask(store, who, DISTILLER, wait, CLEAR, pipeline, until=now(store, pipeline, settings))


# --- what rounds may learn from ---------------------------------------------------------------


def pause(
    store: Store,
    who: str,
    pipeline: str,
    settings: Pipeline,
    device: str,
    reason: str,
    since: int | None = None,
) -> str:
    """Learn nothing from what a device, "" for all, says since then; left out: from now on."""
    target = _target(store, pipeline, device)
    begins = now(store, pipeline, settings) if since is None else since
    if not store.scope.hold(who, pipeline, device, begins, reason):
        raise ConfigError(f"{target} is paused already; `iot-stream pause` says since when and why")
    return f"{target}: nothing is learnt from what it says since {iso(begins)}"


def resume(store: Store, pipeline: str, settings: Pipeline, device: str) -> str:
    target = _target(store, pipeline, device)
    if not store.scope.resume(pipeline, device, now(store, pipeline, settings)):
        raise ConfigError(f"{target} is not paused; `iot-stream pause` lists what is")
    return f"{target} is learnt from again"


def exclude(store: Store, who: str, pipeline: str, device: str, start: int, end: int, reason: str) -> str:
    """An incident, of a device or "" for all, out of all training from the next round on."""
    if end < start:
        raise ConfigError(f"the end, {iso(end)}, is before the beginning, {iso(start)}")
    if device:
        known_device(store, pipeline, device)
    number = store.scope.exclude(who, pipeline, device, start, end, reason)
    return f"{number}: {device or 'all devices'} from {iso(start)} to {iso(end)} not to be learnt from"


def include(store: Store, pipeline: str, number: int) -> str:
    """An exclusion taken back."""
    if not store.scope.remove(pipeline, number):
        raise ConfigError(f"{pipeline} has no exclusion {number}; `iot-stream exclude list` shows them")
    return f"{number} removed"


def replaced(
    store: Store, who: str, pipeline: str, settings: Pipeline, device: str, at: int | None = None
) -> str:
    """Another sensor speaks as the device since then; left out: now."""
    known_device(store, pipeline, device)
    since = now(store, pipeline, settings) if at is None else at
    store.scope.replace(who, pipeline, device, since)
    return f"{device} is another sensor since {iso(since)}"


def _target(store: Store, pipeline: str, device: str) -> str:
    if not device:
        return pipeline
    known_device(store, pipeline, device)
    return f"{pipeline}/{device}"
