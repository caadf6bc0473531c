"""What a device notices of a bad version by itself; and that it lets a good one be."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iot_stream import topics
from iot_stream.device.health import Complaint, Health, Rules
from iot_stream.device.slots import Slots
from tests.device.site import Feeder, Site, runs
from tests.waiting import wait_until

RULES = Rules(windows=20)


def said(health: Health, classes: list[int], certainty: float, infer_us: float = 50.0) -> Complaint | None:
    """One window after the other; the first complaint."""
    for klass in classes:
        if complaint := health.saw([klass], [certainty], infer_us):
            return complaint
    return None


def proven(rules: Rules = RULES, certainty: float = 0.9) -> Health:
    """A device whose first version did well, and that has just changed to the next."""
    health = Health(rules)
    health.begin()
    assert said(health, [0, 1] * 50, certainty) is None
    health.begin()
    return health


def test_a_version_as_sure_as_the_one_before_stays() -> None:
    health = proven()
    assert said(health, [0, 1] * 200, 0.85) is None
    assert (health.mean_p, health.infer_us) == (pytest.approx(0.85), 50.0)


def test_a_collapse_of_certainty_is_noticed_after_probation() -> None:
    health = proven()
    assert said(health, [0, 1] * 9, 0.55) is None
    complaint = said(health, [0, 1], 0.55)
    assert complaint == Complaint("confidence", "mean certainty 0.55, 0.90 before")


def test_doubts_after_probation_are_not_the_versions_fault() -> None:
    health = proven()
    assert said(health, [0, 1] * 10, 0.9) is None
    assert said(health, [0, 1] * 300, 0.4) is None


def test_the_first_version_has_nothing_to_be_held_against() -> None:
    health = Health(RULES)
    health.begin()
    assert said(health, [0] * 500, 0.3, 1e6) is None


def test_a_version_that_takes_far_longer_is_left() -> None:
    complaint = said(proven(), [0, 1] * 20, 0.9, 501.0)
    assert complaint == Complaint("latency", "501 µs an inference, 50 before")
    assert said(proven(), [0, 1] * 20, 0.9, 499.0) is None


def test_one_class_only_counts_where_a_person_says_so() -> None:
    assert said(proven(), [1] * 1000, 0.9) is None
    complaint = said(proven(Rules(windows=20, collapse=100)), [1] * 100, 0.9)
    assert complaint == Complaint("class_collapse", "one class in all 100 windows, 2 classes before")
    assert said(proven(Rules(windows=20, collapse=100)), [1] * 99 + [0] + [1] * 500, 0.9) is None


def test_a_version_that_was_left_early_is_not_what_the_next_is_held_against() -> None:
    health = proven()
    said(health, [0] * 5, 0.1)
    health.begin()
    assert said(health, [0, 1] * 20, 0.85) is None


# --- on a device


def test_a_version_whose_certainty_collapses_is_left_reported_and_not_taken_again(site: Site) -> None:
    client = site.device(health=Rules(confidence=0.1))
    site.publisher.release(1)
    runs(client, 1)
    feeder = Feeder(client)
    feeder.feed(900)  # 450 windows
    # A model that knows nothing: all weights alike, .5 for each class.
    content = site.publisher.flat_targets(2)
    payload, apart = site.publisher.sign(2, content)
    site.publisher.publish_blobs(apart.items())
    site.publisher.publish_bundle(payload)
    runs(client, 2)
    feeder.feed(500)
    runs(client, 1)
    wait_until(lambda: bool(site.listener.reports("rolled_back")), "it says so")
    (report,) = site.listener.reports("rolled_back")
    assert (report.version, report.previous, report.reason) == (1, 2, "confidence")
    site.publisher.publish_bundle(payload)
    site.rejected("refused_before")
    assert site.listener.reports("rejected")[-1].offered == 2
    site.publisher.release(3)
    runs(client, 3)


CRASH = """
import os, signal, sys
from pathlib import Path
from iot_stream.device.slots import Slots

with Slots(Path(sys.argv[1])).trying(int(sys.argv[2])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def crash(state: Path, version: int) -> None:
    """A process that dies while it tries a version."""
    ended = subprocess.run([sys.executable, "-c", CRASH, str(state), str(version)], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_a_version_that_takes_the_process_down_is_left_at_the_third_time(site: Site) -> None:
    client = site.device()
    for version in (1, 2):
        site.publisher.release(version)
        runs(client, version)
    client.stop()
    state = site.folder / "state"
    for _ in range(2):
        crash(state, 2)
    again = site.device()
    runs(again, 2)  # it may have been the power
    again.stop()
    assert Slots(state).crashes(2) == 0  # it did well this time
    for _ in range(3):
        crash(state, 2)
    third = site.device()
    runs(third, 1)
    wait_until(lambda: bool(site.listener.reports("rolled_back")), "it says so, once there is a connection")
    report = site.listener.reports("rolled_back")[-1]
    assert (report.version, report.previous, report.reason) == (1, 2, "crash_loop")
    site.publisher.release(3)
    runs(third, 3)


def test_reports_say_how_sure_and_how_fast_it_is(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    Feeder(client).feed(1100)
    wait_until(lambda: bool(site.listener.reports("health")), "a report of health")
    report: topics.Report = site.listener.reports("health")[0]
    assert report.windows >= 500
    assert 0.5 < report.mean_p <= 1
    assert 0 < report.infer_us < 1e6


def test_a_disk_that_takes_nothing_does_not_keep_a_device_from_starting(site: Site) -> None:
    client = site.device()
    site.publisher.release(1)
    runs(client, 1)
    client.stop()
    (site.folder / "state/trying.new").mkdir()  # as if no file could be made there
    runs(site.device(), 1)
