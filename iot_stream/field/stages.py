"""Who is in a stage of a rollout: settings name the shares, devices' names do the rest."""

from collections.abc import Mapping
from typing import NamedTuple

from iot_stream.artifact.stages import Audience
from iot_stream.config import Release
from iot_stream.store import Store
from iot_stream.units import Percent


class Split(NamedTuple):
    """A cohort's devices that take releases: who has the version, and who has not yet."""

    stage: list[str]
    control: list[str]


def share(settings: Release, stage: int) -> Percent:
    """Of the devices, in a stage; in the last if the configuration has fewer now."""
    return settings.stages[min(stage, len(settings.stages) - 1)]


def audience(settings: Release, stage: int) -> Audience:
    """Whom a stage is meant for."""
    return Audience(float(share(settings, stage)), settings.first, settings.never)


def divided(store: Store, pipeline: str, cohort: str, version: int, audience: Audience) -> Split:
    """A cohort's devices in a stage and not in it; who is pinned is neither."""
    members = store.cohorts.members(pipeline)
    taking = [d for d in store.registry.devices(pipeline) if not d.pinned]
    known = [d.device for d in taking if members.get(d.device, d.cohort) == cohort]
    stage = [device for device in known if audience.has(device, version)]
    return Split(stage, sorted(set(known) - set(stage)))


def plan(
    store: Store, pipeline: str, settings: Release, cohort: str, version: int
) -> Mapping[str, list[str]]:
    """Stage → the devices that it would add, were this version rolled out now."""
    added: dict[str, list[str]] = {}
    before: set[str] = set()
    for stage, percent in enumerate(settings.stages):
        devices = divided(store, pipeline, cohort, version, audience(settings, stage)).stage
        added[str(percent)] = sorted(set(devices) - before)
        before |= set(devices)
    return added
