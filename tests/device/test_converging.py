"""A fleet of which some are away: each comes to the newest version by one message, however many it missed."""

import msgspec

from iot_stream.device.client import DeviceClient
from iot_stream.mqtt import Message
from tests.device import tiny
from tests.device.site import EASY_GOING, Site
from tests.waiting import wait_until

FLEET = [f"d{n}" for n in range(12)]
AWAY = FLEET[::3]
MISSED = 10


class Noting:
    """A device with a state folder of its own, and what the broker has brought it since it started."""

    def __init__(self, site: Site, name: str) -> None:
        settings = tiny.device_settings(site.broker.url, site.prefix, site.keys, site.folder / name, name)
        self.client = DeviceClient(msgspec.structs.replace(settings, health=EASY_GOING), tiny.CHANNELS)
        self.brought: list[Message] = []
        hear = self.client._following.hear

        def note(message: Message) -> None:
            self.brought.append(message)
            hear(message)

        self.client._following.hear = note  # type: ignore[method-assign]
        self.client.start()


def all_run(devices: list[Noting], version: int) -> None:
    wait_until(
        lambda: all(each.client.version == version for each in devices),
        f"all run version {version}: {[each.client.version for each in devices]}",
    )


def test_a_third_that_missed_ten_releases_converges_with_one_message_each(site: Site) -> None:
    devices = {name: Noting(site, name) for name in FLEET}
    try:
        site.publisher.release(1)
        all_run(list(devices.values()), 1)
        for name in AWAY:
            devices.pop(name).client.stop()
        payload = b""
        for version in range(2, 2 + MISSED):
            payload = site.publisher.release(version)
            all_run(list(devices.values()), version)
        back = [Noting(site, name) for name in AWAY]
        devices.update(zip(AWAY, back, strict=True))
        all_run(list(devices.values()), 1 + MISSED)
        assert [[message.payload for message in each.brought] for each in back] == [[payload]] * len(AWAY)
    finally:
        for each in devices.values():
            each.client.stop()
    assert not site.listener.reports("rejected")
