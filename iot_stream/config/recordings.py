"""What can be set about recordings: where they are, how they are read, which part teaches and which plays."""

import re
from typing import Annotated

from msgspec import Meta, field

from iot_stream.address import Settings
from iot_stream.units import Delay, Duration, Rate

Value = str | int | float


class Select(Settings, frozen=True):
    """Which part of the recordings; all conditions hold."""

    from_: Annotated[str, Meta(description="From this time on (ISO 8601)")] = field(default="", name="from")
    to: Annotated[str, Meta(description="Before this time")] = ""
    share: Annotated[
        tuple[float, float] | None, Meta(description="From this to that share of each recording, as [0.5, 1]")
    ] = None
    where: Annotated[
        dict[str, Value | tuple[Value, ...]],
        Meta(description="Column or field: its value, or a list"),
    ] = field(default_factory=dict)
    regimes: Annotated[tuple[str, ...], Meta(description="world: in these regimes, one after the other")] = ()
    machines: Annotated[
        tuple[int, int] | None,
        Meta(description="world: machines with these indexes, [first, after the last]"),
    ] = None
    bursts: Annotated[int, Meta(ge=1, description="world: messages of each machine in each regime")] = 20


class Bootstrap(Settings, frozen=True):
    teacher: Annotated[Select, Meta(description="What the teacher learns from, with labels")]
    student: Annotated[Select, Meta(description="What the first student is distilled on")]


class Late(Settings, frozen=True):
    every: Annotated[Duration, Meta(description="Read out once in this time")]
    at: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="At this time of day, UTC")] = (
        "00:00"
    )


class LateLabels(Settings, frozen=True):
    fraction: Annotated[
        float, Meta(ge=0, le=1, description="Share of messages whose label is ever known")
    ] = 0.0
    delay: Annotated[
        Delay,
        Meta(description="How long after: 30 s, 100 readings, or segment: when the label's segment is over"),
    ] = Delay(0)


class Recordings(Settings, frozen=True):
    files: Annotated[
        str,
        Meta(description="CSV, CSV.gz, Parquet, NPZ: a path with *, or a folder, from this file's folder"),
    ] = ""
    world: Annotated[str, Meta(description="A simulated world instead of files: bearing, features")] = ""
    match: Annotated[
        str, Meta(description="Regular expression on file names or NPZ keys; its named groups are fields")
    ] = ""
    values: Annotated[
        dict[str, dict[str | int, Value]],
        Meta(description="Column or field: what its texts stand for, as {load: {1797: 0, 1772: 1}}"),
    ] = field(default_factory=dict)
    time: Annotated[str, Meta(description="Column of the time")] = ""
    zone: Annotated[str, Meta(description="Time zone of times that name none")] = "UTC"
    pace: Annotated[Rate | None, Meta(description="Without a time column: so many readings a second")] = None
    order: Annotated[
        str,
        Meta(description="Without a time column: a device's recordings follow by this field"),
    ] = ""
    shuffle: Annotated[
        str,
        Meta(description="Without a time column: rows alike in this column are shuffled"),
    ] = ""
    device: Annotated[str, Meta(description="A constant, a column or a field")] = "device"
    channels: Annotated[
        dict[str, str], Meta(description="Channel → column; for an NPZ array the number of the column")
    ] = field(default_factory=dict)
    label: Annotated[str, Meta(description="Column or field of the class: a name or an index")] = ""
    bootstrap: Annotated[
        Bootstrap | None, Meta(description="What the teacher and the first student learn from")
    ] = None
    stream: Annotated[Select, Meta(description="What the simulator plays and replay runs on")] = Select()
    readings: Annotated[int, Meta(ge=1, description="Readings in a message of the stream")] = 1
    segments: Annotated[
        str,
        Meta(description="How figures are told apart: day, or a column or field; world: regime"),
    ] = ""
    labels: Annotated[LateLabels, Meta(description="What becomes known of the stream's labels, and when")] = (
        LateLabels()
    )
    late: Annotated[dict[str, Late], Meta(description="Channels that come late, a batch at a time")] = field(
        default_factory=dict
    )
    round_time: Annotated[
        Duration, Meta(description="Replay: how long a round takes, in the stream's time")
    ] = Duration(60 * 10**9)

    @property
    def parts(self) -> dict[str, Select]:
        """Each selection by its place in the settings."""
        boot = self.bootstrap
        taught = {"bootstrap.teacher": boot.teacher, "bootstrap.student": boot.student} if boot else {}
        return {"stream": self.stream} | taught

    @property
    def told_by(self) -> set[str]:
        """Columns or fields that say something of a reading beside its values."""
        conditions = {name for part in self.parts.values() for name in part.where}
        return {self.label, self.device, self.segments, self.shuffle, *conditions} - {""}

    @property
    def fields(self) -> set[str]:
        """What is true of a whole recording, as far as can be known without reading the files."""
        return {"regime"} if self.world else {"key", *re.compile(self.match).groupindex}

    @property
    def columns_by_name(self) -> bool:
        """Whether there may be more columns than the settings name: a table's."""
        return not self.world and not self.files.endswith(".npz")
