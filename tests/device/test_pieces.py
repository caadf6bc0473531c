"""Artifacts in pieces, over a real broker: in any order, over restarts, and only what is lacking."""

import random

import pytest

from iot_stream import topics
from iot_stream.artifact.pieces import Piece
from iot_stream.device import fetching
from iot_stream.device.client import DeviceClient
from iot_stream.release.sign import Target, bundle
from tests.device import tiny
from tests.device.site import Site, runs
from tests.waiting import wait_until

LIMIT = 16  # bytes: some thirty pieces


def in_pieces(site: Site, version: int) -> tuple[bytes, list[tuple[Piece, bytes]]]:
    """A release cut into pieces of `LIMIT`, nothing of it in the bundle."""
    whole = site.publisher.targets(version)
    targets = {name: Target(target.data, target.custom, LIMIT) for name, target in whole.items()}
    payload, apart = site.publisher.sign(version, targets)
    return payload, list(apart.items())


def test_pieces_in_any_order_make_a_model(site: Site) -> None:
    payload, apart = in_pieces(site, 1)
    assert len(apart) > 2 * fetching.AT_ONCE
    random.Random(0).shuffle(apart)
    client = site.device()
    site.publisher.publish_bundle(payload)
    site.publisher.publish_blobs(apart)
    runs(client, 1)
    assert not list((site.folder / "state/parts").iterdir())


def test_a_device_that_was_restarted_asks_only_for_what_it_lacks(site: Site) -> None:
    payload, apart = in_pieces(site, 1)
    first, rest = apart[:20], apart[20:]
    site.publisher.publish_blobs(first)
    site.publisher.publish_bundle(payload)
    client = site.device()
    wait_until(lambda: len(kept(site)) == len(first), "the pieces that are there")
    client.stop()
    asked: set[str] = set()
    again = DeviceClient(site.settings(), tiny.CHANNELS)
    subscribe = again.connection.subscribe

    def note(topic: str, qos: int = 1) -> None:
        asked.add(topic)
        subscribe(topic, qos)

    again._following._fetching._subscribe = note
    again.start()
    try:
        site.publisher.publish_blobs(rest)
        runs(again, 1)
    finally:
        again.stop()
    assert asked == {
        topics.BLOB.of(prefix=site.prefix, pipeline="p", sha256=piece.artifact, n=str(piece.n))
        for piece, _ in rest
    }


def kept(site: Site) -> list[str]:
    folder = site.folder / "state/parts"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_pieces_spoilt_by_a_power_cut_are_asked_for_again(site: Site) -> None:
    payload, apart = in_pieces(site, 1)
    site.publisher.publish_blobs(apart[:-1])
    site.publisher.publish_bundle(payload)
    client = site.device()
    wait_until(lambda: len(kept(site)) == len(apart) - 1, "all but one")
    client.stop()
    for name in kept(site)[::2]:
        (site.folder / "state/parts" / name).write_bytes(b"")
    again = site.device()
    site.publisher.publish_blobs(apart[-1:])
    runs(again, 1)


def test_an_altered_piece_is_refused_and_the_right_one_taken(site: Site) -> None:
    payload, apart = in_pieces(site, 1)
    site.publisher.publish_blobs([(piece, b"!" + data[1:]) for piece, data in apart[:1]])
    site.publisher.publish_bundle(payload)
    client = site.device()
    site.rejected("altered")
    site.publisher.publish_blobs(apart)
    runs(client, 1)


def test_pieces_of_a_release_that_is_over_are_forgotten(site: Site) -> None:
    payload, apart = in_pieces(site, 1)
    site.publisher.publish_blobs(apart[:5])
    site.publisher.publish_bundle(payload)
    client = site.device()
    wait_until(lambda: len(kept(site)) == 5, "a few pieces")
    site.publisher.release(2)
    runs(client, 2)
    assert kept(site) == []


def test_no_more_is_asked_for_at_a_time_than_a_few(site: Site) -> None:
    payload, apart = in_pieces(site, 1)
    client = site.device()
    site.publisher.publish_bundle(payload)
    wait_until(lambda: len(asked_for(client)) == fetching.AT_ONCE, "the first few")
    site.publisher.publish_blobs(apart)
    runs(client, 1)
    wait_until(lambda: not asked_for(client), "nothing is asked for any more")


def asked_for(client: DeviceClient) -> list[str]:
    return [topic for topic in client.connection._subscriptions if "/blob/" in topic]


@pytest.mark.parametrize("limit", [0, 10_000])
def test_one_message_while_it_fits(site: Site, limit: int) -> None:
    whole = site.publisher.targets(1)
    targets = {name: Target(target.data, target.custom, limit) for name, target in whole.items()}
    payload, apart = site.publisher.sign(1, targets)
    assert len(apart) == 2
    assert bundle(site.publisher.repository.renew(0 + 10**18), targets)[1].keys() == apart.keys()
    site.publisher.publish_blobs(apart.items())
    site.publisher.publish_bundle(payload)
    runs(site.device(), 1)
