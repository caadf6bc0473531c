"""Releases that a device must not take, on a real broker: it goes on, and takes the next good one."""

from collections.abc import Callable

import pytest

from iot_stream.clock import wall
from iot_stream.cut import Cut
from iot_stream.device.client import DeviceClient
from iot_stream.release.keys import Keys
from tests.device import tiny
from tests.device.site import Feeder, Site, feeding, runs
from tests.waiting import wait_until

DAY = 86_400 * 10**9


# --- refusals: the device goes on, and takes the next good release


Attack = Callable[[Site, Keys], None]


def foreign_keys(site: Site, foreign: Keys) -> None:
    site.other_publisher(foreign).release(9)


def altered(site: Site, foreign: Keys) -> None:
    payload, _ = site.publisher.sign(9, site.publisher.targets(9))
    site.publisher.publish_bundle(payload[:-20] + bytes(20))


def expired(site: Site, foreign: Keys) -> None:
    payload, _ = site.publisher.sign(9, site.publisher.targets(9), wall() - 31 * DAY)
    site.publisher.publish_bundle(payload)


def another_cohort(site: Site, foreign: Keys) -> None:
    payload, _ = site.other_publisher(cohort="others").sign(9, site.publisher.targets(9))
    site.publisher.publish_bundle(payload)


def failing_self_test(site: Site, foreign: Keys) -> None:
    payload, _ = site.publisher.sign(9, site.publisher.targets(9, selftest=False))
    site.publisher.publish_bundle(payload)


def channels_that_it_lacks(site: Site, foreign: Keys) -> None:
    site.publisher.release(9, spec_=tiny.spec(Cut(("x", "z"), ("x", "z"), 4, 2)))


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (foreign_keys, "unsigned"),
        (altered, "malformed"),
        (expired, "expired"),
        (another_cohort, "foreign"),
        (failing_self_test, "self_test"),
        (channels_that_it_lacks, "self_test"),
    ],
)
def test_a_release_that_is_not_right_is_refused_and_the_device_goes_on(
    site: Site, foreign: Keys, attack: Attack, reason: str
) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    feeder = Feeder(client)
    with feeding(feeder):
        attack(site, foreign)
        site.rejected(reason)
        assert client.version == 1
        site.publisher.release(10)
        runs(client, 10)
    windows = feeder.windows()
    wait_until(lambda: len(site.listener.predictions) >= len(windows), "all windows are predicted", 60)
    assert site.listener.predictions.keys() == windows.keys()
    assert {v for said in site.listener.predictions.values() for v, _, _ in said} <= {1, 10}


def test_an_older_release_is_refused(site: Site) -> None:
    client = site.device()
    first = site.publisher.release(1)
    runs(client, 1)
    site.publisher.release(2)
    runs(client, 2)
    site.publisher.publish_bundle(first)
    site.rejected("older")
    assert client.version == 2


def test_the_same_bundle_again_is_not_applied_again(site: Site) -> None:
    client = site.device()
    payload = site.publisher.release(1)
    runs(client, 1)
    site.publisher.publish_bundle(payload)
    site.publisher.release(2)
    runs(client, 2)
    wait_until(lambda: len(site.listener.reports("applied")) == 2, "two reports")
    assert site.listener.reports("rejected") == []


# --- blobs


def test_blobs_are_fetched_only_where_they_lack(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    wait_until(lambda: not asked_for(client), "it asks for no blob any more")
    client.connection.publish_and_wait(f"{site.prefix}/echo", b"")  # the broker has heard of it
    down = client.bytes_down
    payload = site.publisher.release(2)
    runs(client, 2)
    assert client.bytes_down - down == len(payload)  # graph and spec were there
    assert not asked_for(client)


def asked_for(client: DeviceClient) -> list[str]:
    return [topic for topic in client.connection._subscriptions if "/blob/" in topic]


def test_an_altered_blob_is_refused_and_the_right_one_taken(site: Site) -> None:
    client = site.device()
    payload, apart = site.publisher.sign(1, site.publisher.targets(1))
    site.publisher.publish_blobs([(sha256, b"x" + content) for sha256, content in apart.items()])
    site.publisher.publish_bundle(payload)
    site.rejected("altered")
    assert client.version == 0
    site.publisher.publish_blobs(apart.items())
    runs(client, 1)


def test_a_bundle_whose_blobs_never_came_does_not_hinder_the_next(site: Site) -> None:
    client = site.device()
    payload, _ = site.publisher.sign(1, site.publisher.targets(1, graph_=tiny.graph("Log")))
    site.publisher.publish_bundle(payload)
    wait_until(lambda: bool(asked_for(client)), "it asks for blobs")
    site.publisher.release(2)
    runs(client, 2)
