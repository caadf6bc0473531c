"""The device on a real broker, with really signed releases: it reads on whatever happens to its model."""

import socket
from pathlib import Path

import numpy as np
import pytest

from iot_stream import topics
from iot_stream.config import Source
from iot_stream.cut import Cut
from iot_stream.device.client import DeviceClient
from iot_stream.device.model import softmax
from iot_stream.device.runtime import AUTO, choose
from iot_stream.errors import BrokerError
from iot_stream.formats import Heard, decoder
from iot_stream.release.keys import Keys
from iot_stream.service.broker import start
from tests.device import tiny
from tests.device.site import STEP, Feeder, Site, feeding, runs
from tests.streams import START
from tests.waiting import wait_until

# --- a release comes, a prediction goes


def test_a_device_applies_a_release_and_says_what_it_makes_of_each_window(site: Site) -> None:
    client = site.device()
    feeder = Feeder(client)
    feeder.feed(3)  # without a model there are readings, and no predictions
    site.publisher.release(1)
    runs(client, 1)
    before = set(feeder.windows())
    feeder.feed(11)
    # The same as if there had been a model from the first reading on: those that the service cuts.
    windows = {end: x for end, x in feeder.windows().items() if end not in before}
    wait_until(lambda: len(site.listener.predictions) == len(windows), "all windows are predicted")
    for end, x in windows.items():
        ((version, klass, p),) = site.listener.predictions[end]
        probabilities = softmax(tiny.expected(1, x[None]))[0]
        assert version == 1
        assert klass == tiny.CLASSES[int(probabilities.argmax())]
        assert p == pytest.approx(probabilities.max(), abs=1e-3)
    (applied,) = site.listener.reports("applied")
    assert (applied.version, applied.previous, applied.readings) == (1, 0, 3)
    assert 0 < applied.swap_us < 1e6
    assert client.bytes_down > 0


def test_readings_go_up_numbered_without_gaps(site: Site) -> None:
    client = site.device()
    feeder = Feeder(client)
    for count in (1, 5, 2):
        feeder.feed(count)
    assert client.feed(np.zeros(0, np.int64), np.zeros((0, 2), np.float32)) == []
    wait_until(lambda: len(site.listener.of(topics.TELEMETRY)) == 3, "all telemetry")
    blocks = [
        decoder(Source(), 0).decode(Heard(payload, 0))[0] for payload in site.listener.of(topics.TELEMETRY)
    ]
    assert [(block.boot, block.seq, len(block)) for block in blocks] == [
        (client.boot, 0, 1),
        (client.boot, 1, 5),
        (client.boot, 6, 2),
    ]
    assert client.fed == 8


def test_a_late_joiner_needs_nobody_online(site: Site) -> None:
    site.publisher.release(1)
    site.publisher.release(2)
    runs(site.device(), 2)


def test_status_says_what_runs_and_that_it_is_gone(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    wait_until(
        lambda: site.listener.of(topics.STATUS)[-1:] and site.listener.of(topics.STATUS)[-1].version == 1,
        "status",
    )
    status = site.listener.of(topics.STATUS)[-1]
    assert (status.online, status.version, status.cohort, status.boot) == (True, 1, "all", client.boot)
    assert status.runtime == choose(AUTO).name
    client.stop()
    wait_until(lambda: not site.listener.of(topics.STATUS)[-1].online, "status offline")
    assert site.listener.of(topics.STATUS)[-1].version == 1


def test_the_last_will_says_offline_for_a_device_that_vanishes(site: Site) -> None:
    client = site.device()
    wait_until(lambda: len(site.listener.of(topics.STATUS)) == 1, "status online")
    socket_ = client.connection._client.socket()
    assert socket_ is not None
    socket_.shutdown(socket.SHUT_RDWR)
    wait_until(
        lambda: [s.online for s in site.listener.of(topics.STATUS)][:3] == [True, False, True],
        "gone, and back",
    )


# --- swaps


def test_no_window_is_missed_or_doubled_while_releases_come(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    feeder = Feeder(client)
    with feeding(feeder):
        for version in range(2, 22):
            site.publisher.release(version)
        runs(client, 21)
        last = feeder.fed
        wait_until(lambda: feeder.fed > last + 10, "some readings under the last version")
    windows = feeder.windows()
    wait_until(lambda: len(site.listener.predictions) >= len(windows), "all windows are predicted", 60)
    said = site.listener.predictions
    assert said.keys() == windows.keys()
    assert all(len(each) == 1 for each in said.values())
    versions = [said[end][0][0] for end in sorted(said)]
    assert versions == sorted(versions)
    assert versions[-1] == 21
    for end, x in windows.items():
        version, _, p = said[end][0]
        assert p == pytest.approx(softmax(tiny.expected(version, x[None])).max(), abs=1e-3)
    applied = [report.version for report in site.listener.reports("applied")]
    assert applied == sorted(set(applied))
    assert client.fed == feeder.fed


def test_another_way_to_cut_windows_begins_anew(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    feeder = Feeder(client)
    feeder.feed(5)
    other = Cut(tiny.CHANNELS, tiny.CHANNELS, 4, 4)
    site.publisher.release(2, spec_=tiny.spec(other))
    runs(client, 2)
    feeder.feed(8)
    wait_until(
        lambda: {v for said in site.listener.predictions.values() for v, _, _ in said} == {1, 2},
        "both versions spoke",
    )
    ends = [end for end, said in sorted(site.listener.predictions.items()) if said[0][0] == 2]
    assert ends == [START + 8 * STEP, START + 12 * STEP]


# --- cohorts


def test_a_device_follows_its_cohort(site: Site) -> None:
    client = site.device()
    site.publisher.release(3)
    runs(client, 3)
    north = site.other_publisher(cohort="north")
    north.release(2)  # versions count within a cohort
    site.publisher.assign("d", "north")
    runs(client, 2)
    wait_until(lambda: site.listener.of(topics.STATUS)[-1].cohort == "north", "the status names the cohort")
    site.publisher.release(4)
    north.release(5)
    runs(client, 5)
    wait_until(lambda: len(site.listener.reports("applied")) == 3, "three reports")
    assert [report.version for report in site.listener.reports("applied")] == [3, 2, 5]


def test_a_device_that_is_pinned_takes_its_first_version_and_no_other(site: Site) -> None:
    site.publisher.assign("d", "all", pinned=True)
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    wait_until(lambda: site.listener.of(topics.STATUS)[-1].pinned, "it says so")
    site.publisher.release(2)
    site.publisher.assign("d", "north", pinned=True)
    wait_until(lambda: client._following.cohort == "north", "another cohort")
    site.publisher.assign("d", "all", pinned=True)
    wait_until(lambda: client._following.cohort == "all", "the former")
    client.stop()
    # What is said to it comes in order, so it had every chance to take version 2: and so after a restart.
    site.publisher.release(3)
    again = site.device()
    site.connection.publish_and_wait(topics.COHORT.of(prefix=site.prefix, pipeline="p", device="d"), b"{")
    assert again.version == 1
    site.publisher.assign("d", "all")
    runs(again, 3)
    wait_until(lambda: not site.listener.of(topics.STATUS)[-1].pinned, "it says so")
    wait_until(lambda: len(site.listener.reports("applied")) == 2, "both reports")
    assert [report.version for report in site.listener.reports("applied")] == [1, 3]


@pytest.mark.parametrize("payload", [b"{", b'{"cohort": "+"}', b'{"cohort": "a/b"}', b'{"cohort": 5}', b""])
def test_a_cohort_message_that_makes_no_sense_changes_nothing(site: Site, payload: bytes) -> None:
    client = site.device()
    topic = topics.COHORT.of(prefix=site.prefix, pipeline="p", device="d")
    site.connection.publish_and_wait(topic, payload)
    site.publisher.release(1)
    runs(client, 1)


# --- disk


def test_a_device_with_a_model_starts_without_a_broker_and_comes_back(
    keys: Keys, prefix: str, tmp_path: Path
) -> None:
    with start(tmp_path / "broker") as own:
        site = Site(own, prefix, keys, tmp_path)
        site.publisher.release(1)
        client = site.device()
        runs(client, 1)
        site.close()
        port = own.port
    settings = tiny.device_settings(f"mqtt://127.0.0.1:{port}", prefix, keys, tmp_path / "state")
    client = DeviceClient(settings, tiny.CHANNELS)
    client.start()
    try:
        assert client.version == 1
        client.feed(START + np.arange(4) * STEP, np.ones((4, 2), np.float32))
        outbox = tmp_path / "state/outbox"
        assert list(outbox.iterdir())
        own._ended.clear()
        own._launch()
        wait_until(lambda: not list(outbox.iterdir()), "what it read offline has gone up")
    finally:
        client.stop()
        own._end()


def test_a_device_without_a_model_says_that_there_is_no_broker(
    keys: Keys, prefix: str, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{free.getsockname()[1]}"
    client = DeviceClient(tiny.device_settings(url, prefix, keys, tmp_path / "state"), tiny.CHANNELS)
    with pytest.raises(BrokerError, match="is the broker running"):
        client.start()
    client.stop()


def test_a_device_whose_channels_changed_does_not_start_a_model_that_it_cannot_feed(site: Site) -> None:
    site.publisher.release(1)
    client = site.device()
    runs(client, 1)
    client.stop()
    changed = site.device(channels=("x",))
    assert changed.version == 0


# --- going back


def test_a_model_that_gives_nan_is_left_for_the_last_good_one(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    bad = site.publisher.release(2, graph_=tiny.graph("Log"))  # log of what is fed below is NaN
    runs(client, 2)
    feeder = Feeder(client)
    feeder.feed(4, sign=-10)
    runs(client, 1)
    wait_until(lambda: site.listener.reports("rolled_back") != [], "a report")
    (report,) = site.listener.reports("rolled_back")
    assert (report.version, report.previous, report.reason) == (1, 2, "nan")
    site.publisher.publish_bundle(bad)
    site.rejected("refused_before")
    feeder.feed(6)
    wait_until(lambda: len(site.listener.predictions) == 3, "the good one goes on where the bad one stopped")
    assert {v for said in site.listener.predictions.values() for v, _, _ in said} == {1}
    client.stop()
    again = site.device()
    assert again.version == 1
    site.publisher.release(3)
    runs(again, 3)


def test_the_first_model_that_gives_nan_leaves_none(site: Site) -> None:
    client = site.device()
    site.publisher.release(1, graph_=tiny.graph("Log"))
    runs(client, 1)
    feeder = Feeder(client)
    feeder.feed(4, sign=-10)
    runs(client, 0)
    feeder.feed(4)
    site.publisher.release(2)
    runs(client, 2)


def test_health_is_reported_now_and_then(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iot_stream.device.client.HEALTH_WINDOWS", 10)
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    Feeder(client).feed(24)  # eleven windows
    wait_until(lambda: len(site.listener.reports("health")) == 1, "a health report")
    (health,) = site.listener.reports("health")
    assert (health.version, health.windows, health.readings) == (1, 11, 24)
    assert 0.5 <= health.mean_p <= 1
