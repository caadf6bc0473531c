"""What the report of a run has to say; `page` makes one HTML file of it."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from iot_stream.evaluate.explained import Explained

# What each rival is, in the words of a reader who has not seen the design. The order is the legend's.
RIVALS = {
    "student": ("student", "the small model on the device, updated by the service"),
    "static": ("static", "the same small model as first deployed, never updated"),
    "static_all": ("static-all", "the same small model, taught once on everything the teacher ever saw"),
    "labels_only": ("labels only", "the same updates from the late labels alone, without a teacher"),
    "control": ("control", "the same extra training steps on the first data alone"),
    "persistence": ("persistence", "the last label or word of the teacher, repeated"),
    "teacher": ("teacher", "the large model in the cloud, which the student learns from"),
    "lda": ("LDA", "peer: linear discriminant, fitted anew each round on all labels so far"),
    "svc": ("SVC", "peer: support vectors, fitted anew each round on all labels so far"),
    "extra_trees": ("ExtraTrees", "peer: a hundred trees, fitted anew each round on all labels so far"),
    "knn": ("kNN", "peer: the nearest of the newest labels"),
    "arf": ("ARF", "peer: adaptive random forest (river), a label at a time"),
    "hat": ("HAT", "peer: Hoeffding adaptive tree (river), a label at a time"),
    "softmax": ("softmax", "peer: softmax regression (river), a label at a time"),
    "moa_arf": ("ARF (MOA)", "peer: adaptive random forest (CapyMOA), a label at a time"),
    "moa_srp": ("SRP (MOA)", "peer: streaming random patches (CapyMOA), a label at a time"),
}


class Figure(msgspec.Struct, frozen=True):
    """A key figure of the run, such as ("recovered after", "11.2 s", "from the first drifted reading")."""

    label: str
    value: str
    note: str = ""


class Interval(msgspec.Struct, frozen=True):
    """A mean over the seeds and its 95 % interval, as fractions; both ends are None where there is none."""

    mean: float
    low: float | None = None
    high: float | None = None


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """A curve: `values[i]` at `seconds[i]`, which increase; None leaves a gap.

    `low` and `high`, as long as `values`, are the 95 % interval of a mean over the seeds: a band.
    """

    seconds: Sequence[float]
    values: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None


class Mark(msgspec.Struct, frozen=True):
    """Something that happens at a moment: a segment or a drift begins, a round ends, a device swaps."""

    seconds: float
    kind: Literal["segment", "drift", "released", "rejected", "swap"]
    label: str


class Traffic(msgspec.Struct, frozen=True):
    """Bytes so far, all devices together: readings up, models down; `seconds` on the clock of the curves."""

    seconds: Sequence[float]
    up: Sequence[int]
    down: Sequence[int]


class Round(msgspec.Struct, frozen=True):
    """One distillation round; `version` is None if it released nothing, `gate` is the verdict in words."""

    id: str
    trigger: str
    verdict: Literal["released", "rejected", "held"]
    version: int | None
    gate: str
    cost: str


class Device(msgspec.Struct, frozen=True):
    """A device at the end of the run."""

    name: str
    version: int
    swaps: int
    readings: int


class Table(msgspec.Struct, frozen=True):
    """What a run has to say beside the parts that every run has: a section with a note and a table."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class ReportData(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report shows. Parts left empty are left out of the page.

    Attributes:
        title, subtitle: the headline, and one sentence that says what was run.
        dates: whether seconds are those since 1970 (shown as dates, UTC) or since the run began.
        figures: the key figures, most important first.
        accuracy: a rival's name (see `RIVALS`) to its accuracy over time, fractions 0 to 1.
        measures: a measure's title ("balanced accuracy") to its table: a segment's name (a day, a load;
            "overall" for the whole) to each rival's value, fractions of which more is better.
        classes: the names of the classes, in the order of the rows and columns of `confusion`.
        confusion: a rival's name to counts of windows: a row for each true class, a column for each said.
        recall: a class's name to each rival's recall of it, fractions 0 to 1.
        tables: what this run has to say beside.
        why: rounds whose change is explained.
        facts: what is needed to run it again: command, seed, broker, versions.
    """

    title: str
    subtitle: str
    dates: bool = False
    figures: Sequence[Figure] = ()
    accuracy: Mapping[str, Series] = {}
    marks: Sequence[Mark] = ()
    traffic: Traffic | None = None
    measures: Mapping[str, Mapping[str, Mapping[str, Interval]]] = {}
    classes: Sequence[str] = ()
    confusion: Mapping[str, Sequence[Sequence[int]]] = {}
    recall: Mapping[str, Mapping[str, float]] = {}
    tables: Sequence[Table] = ()
    rounds: Sequence[Round] = ()
    why: Sequence[Explained] = ()
    devices: Sequence[Device] = ()
    facts: Mapping[str, str] = {}
