"""What can be set about a pipeline: typed, each with its meaning and its default."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from iot_stream.address import Settings
from iot_stream.config.cohorts import Cohorts
from iot_stream.config.learning import DistillSettings, TrainSettings
from iot_stream.config.network import Network, TopicTeacher
from iot_stream.config.recordings import Recordings
from iot_stream.config.release import Release
from iot_stream.config.triggers import Triggers
from iot_stream.cut import Cut
from iot_stream.derive import Derived
from iot_stream.errors import ConfigError, nearest
from iot_stream.formats import channels_of
from iot_stream.formats.source import Source
from iot_stream.hygiene import Limit
from iot_stream.units import Duration, Rate
from iot_stream.upload import Upload

MINUTE, DAY = 60 * 10**9, 86_400 * 10**9


class Labels(Settings, frozen=True):
    topic: Annotated[str, Meta(description="Topic of ground truth; {device} names the device")]
    value: Annotated[str, Meta(description="Path of the class, a name or an index")] = "$.value"
    time: Annotated[str, Meta(description="Path of the moment, or the beginning")] = "$.time"
    until: Annotated[str, Meta(description="Path of the end of an interval")] = "$.until"
    zone: Annotated[str, Meta(description="Time zone of times that name none")] = "UTC"
    hold: Annotated[
        Duration | None,
        Meta(description="A label without an end holds so long, or until the next; left out: its moment"),
    ] = None


class Window(Settings, frozen=True):
    length: Annotated[int, Meta(ge=1, description="Readings in a window")]
    hop: Annotated[int, Meta(ge=0, description="Readings from one window to the next; 0: the length")] = 0
    rate: Annotated[
        Rate | None,
        Meta(description="Resample to this rate, as 50/s or 1/min; left out: readings as they come"),
    ] = None
    gap: Annotated[
        Duration | None,
        Meta(description="A longer pause breaks the window; default: ten periods of the rate, else never"),
    ] = None
    fill: Annotated[
        Literal["linear", "hold"],
        Meta(description="With rate: each channel's last value, or a line to its next, which is waited for"),
    ] = "linear"
    join: Annotated[
        Duration | None,
        Meta(description="Channels that come apart are one reading if they come within this time"),
    ] = None
    required: Annotated[
        tuple[str, ...],
        Meta(description="Channels without which a reading does not count; the others may be missing"),
    ] = ()
    masks: Annotated[
        bool, Meta(description="Give the models a channel of ones for each value that is missing")
    ] = False
    lateness: Annotated[
        Duration,
        Meta(description="How long readings that overtook each other, or have no number, are waited for"),
    ] = Duration(5_000_000_000)


class Limits(Settings, frozen=True):
    low: Annotated[float | None, Meta(description="Lower values are missing")] = None
    high: Annotated[float | None, Meta(description="Higher values are missing")] = None
    jump: Annotated[
        float | None,
        Meta(description="A value further from the one before is missing, unless the next confirms it"),
    ] = None
    stuck: Annotated[
        Duration | None, Meta(description="Values that stay the same for longer are missing")
    ] = None


class Hygiene(Settings, frozen=True):
    error_values: Annotated[
        tuple[float, ...],
        Meta(description="Values of any channel that mean an error of the sensor, as [999, -127, 65535]"),
    ] = ()
    limits: Annotated[
        dict[str, Limits],
        Meta(description="Channel → what its values can be; others are missing, and counted"),
    ] = field(default_factory=dict)


class Task(Settings, frozen=True):
    classify: Annotated[
        tuple[str, ...], Meta(min_length=2, description="The classes, in the order of their indexes")
    ]


class Sample(Settings, frozen=True):
    recent: Annotated[int, Meta(ge=1, description="So many of the newest windows")] = 400
    reservoir: Annotated[
        int, Meta(ge=0, description="So many older ones, balanced over classes and time")
    ] = 1000
    share: Annotated[float, Meta(gt=0, le=1, description="Share of recent windows in a batch")] = 0.5
    decay: Annotated[
        Duration | None,
        Meta(description="Recent windows and late labels weigh less by age, e-fold in this time"),
    ] = None
    disagreement: Annotated[
        float,
        Meta(
            ge=0, description="Windows where the running student contradicts weigh 1 + this more; 0: as all"
        ),
    ] = 0.0


class Hold(Settings, frozen=True):
    far: Annotated[
        float,
        Meta(
            ge=0,
            description="A device is held when its windows are so many times as far from all that is known "
            "as its cohort's; 0: never",
        ),
    ] = 4.0
    windows: Annotated[int, Meta(ge=4, description="Judged by so many of its newest windows")] = 20


class Gate(Settings, frozen=True):
    delta: Annotated[
        float,
        Meta(ge=0, description="δ: released when the lower 95 % bound of (candidate − running) exceeds −δ"),
    ] = 0.01
    n_min: Annotated[int, Meta(ge=1, description="Held while there are fewer windows to judge by")] = 60
    share: Annotated[
        float,
        Meta(
            gt=0,
            lt=1,
            description="Share of new windows kept out of training to judge by: the newest; more, to half, "
            "where `n_min` asks for it",
        ),
    ] = 0.2
    block: Annotated[
        Duration | None,
        Meta(description="Judge by every 1/share-th block of so long (where windows come in one batch)"),
    ] = None
    labels: Annotated[
        float,
        Meta(ge=0, lt=1, description="Share of late labels kept out of training to judge by; 0: all train"),
    ] = 0.0
    old_drop: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Lower 95 % bound on windows of old regimes, a tenth of which then never train, may "
            "lose no more than this; left out: recent windows alone judge",
        ),
    ] = None
    recall_drop: Annotated[
        float, Meta(ge=0, le=1, description="No class with enough windows may lose more recall than this")
    ] = 0.15
    max_bytes: Annotated[int, Meta(ge=1, description="Bound on the encoded weights")] = 4 * 1024 * 1024


class Trust(Settings, frozen=True):
    folds: Annotated[
        int,
        Meta(
            ge=0,
            description="Cross-validate the teacher on the bootstrap in so many blocks of time, to know what "
            "is to be expected of it; 0: how it does on what it learnt from",
        ),
    ] = 0
    drop: Annotated[
        float,
        Meta(gt=0, le=1, description="Held when late labels show it worse than expected by more than this"),
    ] = 0.25
    n_min: Annotated[int, Meta(ge=1, description="Fewer windows, or labels, are no evidence")] = 30


class Pipeline(Settings, frozen=True):
    window: Annotated[Window, Meta(description="How readings become windows")]
    task: Annotated[Task, Meta(description="What is to be told")]
    sources: Annotated[
        tuple[Source, ...], Meta(description="Where readings come from; default: iot-stream's own telemetry")
    ] = (Source(),)
    labels: Annotated[
        Labels | None,
        Meta(description="Where ground truth comes from; default: iot-stream's own label topic"),
    ] = None
    hygiene: Annotated[Hygiene, Meta(description="What values cannot be true")] = Hygiene()
    derive: Annotated[dict[str, str], Meta(description="Derived channels: name → function(channel, …)")] = (
        field(default_factory=dict)
    )
    teacher: Annotated[
        Network,
        Meta(
            description="The large model: {arch, channels, …}, {factory, …}, {onnx, …} or {topic, …}; its "
            "channels may be others than the student's"
        ),
    ] = Network("resnet1d")
    student: Annotated[
        Network, Meta(description="The small model: {arch, channels, …} or {factory, channels, …}")
    ] = Network("mobilenet1d")
    train: Annotated[TrainSettings, Meta(description="Stage training: the teacher")] = TrainSettings()
    distill: Annotated[DistillSettings, Meta(description="Stages distillation and fusion: the student")] = (
        DistillSettings()
    )
    sample: Annotated[Sample, Meta(description="What a round learns from")] = Sample()
    triggers: Annotated[Triggers, Meta(description="What starts a round")] = Triggers()
    cohorts: Annotated[Cohorts, Meta(description="Which devices share a student")] = Cohorts()
    hold: Annotated[Hold, Meta(description="When a device is not learnt from, for it looks broken")] = Hold()
    gate: Annotated[Gate, Meta(description="What a candidate must pass")] = Gate()
    trust: Annotated[
        Trust, Meta(description="When the teacher is no longer believed: it then teaches and judges nothing")
    ] = Trust()
    release: Annotated[Release, Meta(description="How a version reaches the devices")] = Release()
    upload: Annotated[
        Upload | None,
        Meta(
            description="For links that cost: devices send the most telling windows and a summary, not all "
            "readings; left out: all of them"
        ),
    ] = None
    teacher_wait: Annotated[
        Duration | None,
        Meta(
            description="How long a teacher's window waits for its late channels, or a topic's word; "
            "default: 2 days, for a topic 1 min"
        ),
    ] = None
    loss_alarm: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Warn when more than this share of a device's numbered readings or messages is lost",
        ),
    ] = 0.01
    retention: Annotated[Duration, Meta(description="Readings and windows are kept so long")] = Duration(
        30 * 86_400 * 10**9
    )
    clock: Annotated[
        Literal["wall", "stream"],
        Meta(description="wall, or stream for recordings: time is the newest reading's"),
    ] = "wall"
    recordings: Annotated[
        Recordings | None,
        Meta(description="Recordings or a world: the bootstrap, and what the simulator plays"),
    ] = None
    seed: Annotated[int, Meta(description="Of everything random in training")] = 0

    @property
    def classes(self) -> tuple[str, ...]:
        return self.task.classify

    def cut(self, network: Network) -> Cut:
        """How readings become this model's windows; raises ConfigError for a channel that nothing makes."""
        if told := network.topic:
            return self._told_beside(told)
        derived = {name: Derived.parse(name, text) for name, text in self.derive.items()}
        inputs = network.channels or self._raw_channels()
        if not inputs:
            raise ConfigError("channels: name the channels, for the sources do not")
        needed: list[str] = []
        wanted = list(inputs)
        while wanted:
            name = wanted.pop(0)
            if name not in needed:
                needed.append(name)
                wanted += derived[name].channels if name in derived else ()
        raw = tuple(name for name in needed if name not in derived)
        known = self._raw_channels()
        if known and (strange := [name for name in raw if name not in known]):
            hint = nearest(strange[0], [*known, *derived])
            raise ConfigError(f"channels: no source and no `derive` makes {strange[0]!r}; {hint}")
        period = int(self.window.rate or 0)
        try:
            return Cut(
                channels=raw,
                inputs=tuple(inputs),
                length=self.window.length,
                hop=self.window.hop or self.window.length,
                derive=tuple(item for name, item in derived.items() if name in needed),
                period=period,
                gap=int(self.window.gap or 10 * period),
                fill=self.window.fill,
                required=tuple(name for name in self.window.required if name in raw),
                join=int(self.window.join or 0),
                error_values=self.hygiene.error_values,
                limits=tuple(
                    Limit(name, limit.low, limit.high, limit.jump, int(limit.stuck or 0))
                    for name, limit in self.hygiene.limits.items()
                    if name in raw
                ),
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _told_beside(self, told: TopicTeacher) -> Cut:
        """The student's own windows, with what the topic said by then in place of what was measured."""
        seen = self.cut(self.student)
        return msgspec.structs.replace(
            seen, channels=(*seen.channels, *told.channels), inputs=told.channels, derive=(), holds=told.holds
        )

    @property
    def teacher_sees_again(self) -> bool:
        """Whether rounds need the teacher's windows of the bootstrap, beside what it said of them."""
        return self.train.tune_steps > 0 or self.distill.of_features

    @property
    def cuts(self) -> dict[Cut, int]:
        """The cuts of both models, and how long (ns) a row of each waits for channels of other sources."""
        return {
            self.cut(self.teacher): int(self.teacher_wait or (MINUTE if self.teacher.topic else 2 * DAY)),
            self.cut(self.student): int(self.window.lateness),
        }

    @property
    def spoken_by_others(self) -> Source | None:
        """The one topic, not iot-stream's own, that has all that the student sees: a gateway reads it too."""
        places = self.sources_of(self.cut(self.student))
        sources = [self.sources[place] for place in places]
        return sources[0] if len(sources) == 1 and sources[0].format != "telemetry" else None

    def _raw_channels(self) -> tuple[str, ...]:
        """Channels that the sources name; empty where a source takes whatever comes."""
        told = self.teacher.topic.channels if self.teacher.topic else ()
        if any(not source.channels for source in self.sources):
            found = tuple(self.recordings.channels) if self.recordings else ()
        else:
            found = tuple(dict.fromkeys(name for source in self.sources for name in channels_of(source)))
        return tuple(name for name in found if name not in told)

    def sources_of(self, cut: Cut) -> tuple[int, ...]:
        """Indexes of the sources that carry any of the cut's channels."""
        return tuple(
            i
            for i, source in enumerate(self.sources)
            if not source.channels or set(channels_of(source)) & set(cut.channels)
        )
