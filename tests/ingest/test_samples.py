"""A sample in the store: windows that the teacher's join, words, a count of the rest; each once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iot_stream.config import Config, device_upload, load
from iot_stream.cut import Cut
from iot_stream.device.predicting import Said
from iot_stream.device.sampling import Sampler
from iot_stream.errors import ConfigError
from iot_stream.formats.telemetry import encode
from iot_stream.ingest.cutter import Cutter
from iot_stream.ingest.intake import Intake
from iot_stream.readings import SAMPLED
from iot_stream.store import Store
from iot_stream.windows import Windower
from tests.streams import START

MINUTE = 60 * 10**9
TOPIC, LIGHT = "iot/office/device/desk/sample", "light/desk"
CONFIG = """\
store: sqlite:store
pipelines:
  office:
    clock: stream
    window: {length: 1}
    task: {classify: [empty, occupied]}
    derive: {lco2: log(co2), own: "minus_ema(lco2, 30 min)"}
    sources: [{channels: {co2: co2}}, {topic: "light/{device}", format: telemetry, channels: {light: light}}]
    student: {arch: mlp, channels: [own]}
    teacher: {arch: mlp, channels: [light, lco2]}
    upload: {budget: 1 MB, every: 1 h}
"""


class Office:
    """A collector's work by hand, and a device's."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        (folder / "config.yml").write_text(text)
        self.config: Config = load(folder / "config.yml")
        self.pipeline = self.config.pipelines["office"]
        self.student, self.teacher = (
            self.pipeline.cut(each) for each in (self.pipeline.student, self.pipeline.teacher)
        )
        self.store = Store(folder / "store")
        self.intake = Intake(self.config, self.store)
        self.cutters = [
            Cutter(self.store, "office", self.pipeline, cut, wait) for cut, wait in self.pipeline.cuts.items()
        ]
        upload = device_upload(self.pipeline)
        assert upload is not None
        self.sampler = Sampler(upload, ("co2",), "desk")
        self.times = START + np.arange(200, dtype=np.int64) * MINUTE
        self.co2 = np.random.default_rng(0).normal(800, 200, 200).astype(np.float32)

    def messages(self) -> list[bytes]:
        """What the device sends of its readings."""
        found = []
        for time, co2 in zip(self.times, self.co2, strict=True):
            said = Said(3, [(int(time), "occupied" if co2 > 800 else "empty", 0.75)])
            found.append(self.sampler.feed(np.array([time]), np.array([[co2]], np.float32), said))
        return [message for message in [*found, self.sampler.rest()] if message]

    def take(self, topic: str, payload: bytes) -> int:
        with self.store.write() as tx:
            refused = self.intake.take(tx, topic, payload)
            self.intake.conclude(tx)
        for cutter in self.cutters:
            with self.store.write() as tx:
                while cutter.advance(tx):
                    pass
        return refused

    def windows(self, cut: Cut) -> dict[int, list[float]]:
        found = self.store.journal.windows("office", cut.id, (cut.length, len(cut.inputs)))
        return dict(zip(found.starts.tolist(), found.x[:, -1].tolist(), strict=True))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = Office(tmp_path)
    yield opened
    opened.store.close()


def test_windows_come_with_their_memory_and_meet_the_teachers(office: Office) -> None:
    messages = office.messages()
    assert len(messages) == 4
    for message in messages * 2:  # a broker may bring any of them again
        assert office.take(TOPIC, message) == 0
    light = np.arange(200, dtype=np.float32)[:, None]
    assert office.take(LIGHT, encode(("light",), office.times, light, "logger", 0)) == 0
    for cutter in office.cutters:  # readings without numbers wait for those that they may have overtaken
        with office.store.write() as tx:
            cutter.idle(tx, int(office.times[-1]) + 10 * MINUTE)
    own, told = office.windows(office.student), office.windows(office.teacher)
    assert own.keys() == set(office.times.tolist()), "the budget has room for all"
    mean = np.log(office.co2)
    whole = Windower(office.student).push(office.times, office.co2[:, None])
    assert np.allclose([own[time] for time in whole.starts.tolist()], whole.x[:, -1], atol=1e-3)
    assert told.keys() == own.keys()
    assert np.allclose(
        [told[time] for time in office.times.tolist()], np.stack([light[:, 0], mean], 1), atol=1e-2
    )
    said = office.store.journal.predictions("office")
    assert [(each.version, each.value) for each in said] == [(3, int(co2 > 800)) for co2 in office.co2]
    (sent,) = office.store.summaries.totals("office")
    assert (sent.windows, sent.sent, sent.bytes) == (200, 200, sum(map(len, messages)))
    assert [rest.windows for rest in office.store.summaries.of("office", "desk")] == [61, 60, 60, 19]
    assert office.store.faults.counters("office") == [("desk", "duplicate", 200)], (
        "readings beside them, again"
    )


def test_readings_beside_a_sample_make_no_windows_of_the_student(office: Office) -> None:
    for message in office.messages():
        office.take(TOPIC, message)
    kept = [entry.block for entry in office.store.journal.after("office", 0, 1000)]
    assert {block.source for block in kept} == {SAMPLED}
    assert sum(len(block) for block in kept) == 200
    assert office.store.journal.window_count("office", office.student.id) == 200
    assert office.store.totals.of("office")["windows " + office.student.id] == 200


@pytest.mark.parametrize(
    ("classes", "time", "reason"),
    [("[a, b]", START, "unknown_class"), ("[empty, occupied]", 0, "absurd_time")],
)
def test_what_cannot_be_is_refused_and_kept_for_a_person(
    tmp_path: Path, classes: str, time: int, reason: str
) -> None:
    office = Office(tmp_path, CONFIG)
    office.times += time - START
    message = office.messages()[0]
    if classes != "[empty, occupied]":
        office.config = load(_changed(tmp_path, "[empty, occupied]", classes))
        office.intake = Intake(office.config, office.store)
    assert office.take(TOPIC, message) == 1
    assert office.store.faults.counters("office") == [("desk", reason, 1)]
    assert not office.windows(office.student)
    office.store.close()


def _changed(folder: Path, old: str, new: str) -> Path:
    path = folder / "changed.yml"
    assert old in CONFIG
    path.write_text(CONFIG.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("channels: [light, lco2]", "channels: [light, own]", "teacher's own remembers readings"),
        ("window: {length: 1}", "window: {length: 2}", "only where a window is one reading"),
        ("window: {length: 1}", "window: {length: 1, rate: 1/min}", "only where a window is one reading"),
        (
            "upload:",
            "hygiene: {limits: {co2: {jump: 500}}}\n    upload:",
            "hygiene.limits.co2: jump and stuck compare readings",
        ),
        ("budget: 1 MB", "budget: 0 B", "more than nothing"),
        ("budget: 1 MB", "budget: much", "not a size"),
    ],
)
def test_what_the_teacher_would_miss_is_said_before(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(_changed(tmp_path, old, new))


@pytest.mark.parametrize(
    ("teacher", "cuts", "readings"),
    [
        ("[light]", 1, ()),
        ("[lco2, own]", 2, ()),
        ("[own]", 1, ()),
        ("[light, lco2]", 1, ("co2",)),
    ],
)
def test_a_device_sends_what_the_teacher_cannot_do_without(
    tmp_path: Path, teacher: str, cuts: int, readings: tuple[str, ...]
) -> None:
    config = load(_changed(tmp_path, "channels: [light, lco2]", f"channels: {teacher}"))
    upload = device_upload(config.pipelines["office"])
    assert upload is not None
    assert (len(upload.cuts), upload.readings) == (cuts, readings)
