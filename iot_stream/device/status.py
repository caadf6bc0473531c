"""What a device's disk says of it; nobody is asked."""

from collections.abc import Iterator
from pathlib import Path

from iot_stream.address import without_password
from iot_stream.artifact import trust
from iot_stream.clock import iso
from iot_stream.device.settings import DeviceSettings
from iot_stream.device.slots import Release, Slots
from iot_stream.device.spool import Spool


def lines(settings: DeviceSettings) -> Iterator[str]:
    """For a person."""
    state = Slots(Path(settings.state)).state()
    running = Slots(Path(settings.state)).running()
    broker = settings.broker if isinstance(settings.broker, str) else settings.broker.url
    yield f"device     {settings.device} of {settings.pipeline}, broker {without_password(broker)}"
    yield f"version    {_told(running)}{', pinned' if state.pinned else ''}"
    yield f"before     {_told(None if state.previous == running else state.previous)}"
    for scope, trusted in sorted(state.scopes.items()):
        if trusted.metadata:
            yield f"signed     {scope}: {trust.signings(trusted.metadata)} signings seen"
        if trusted.refused:
            yield f"left       {scope}: version {trusted.refused} and older, {trusted.refused_because}"
    if state.time_floor:
        yield f"last       a release was taken or renewed about {iso(state.time_floor)}"
    outbox = Spool(Path(settings.state) / "outbox", settings.outbox)
    yield f"outbox     {outbox.used} B of {settings.outbox} B wait for the broker"


def _told(release: Release | None) -> str:
    return "none" if release is None else f"{release.version} of {release.scope}"
