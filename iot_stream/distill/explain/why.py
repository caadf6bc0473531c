"""What a round report says of why the student changed: plain numbers, few enough to be kept with it.

Nothing here needs torch: reports are read where nothing is trained.
"""

from typing import Any

import msgspec

from iot_stream.errors import ModelError

Pair = tuple[float, float]
"""Before and after: the running student and the new one, on the same windows."""


class Decision(msgspec.Struct, frozen=True):
    """What drives the students' decisions: shares that add up to 1, largest first.

    Attributes:
        windows: how many held-out windows were looked at.
        gap: what the attributions miss of the decisions that they explain, a fraction (completeness).
        channels: share of each input; the smaller ones are together under `others`.
        bands: share of each frequency band, where windows are long enough to have any.
        cells: the largest shares of an input in a band: (input, band, before, after).
        meanings: how shown inputs are derived from the sensor's own channels.
    """

    windows: int
    gap: Pair
    channels: dict[str, Pair]
    others: Pair
    bands: dict[str, Pair]
    cells: list[tuple[str, str, float, float]]
    meanings: dict[str, str]


class Moved(msgspec.Struct, frozen=True):
    """Which windows of those that judge change their class from the running student to the new one.

    Attributes:
        windows, changed: how many were compared, and how many changed.
        basis: what says which of two is right: "labels" or "teacher".
        known: changed windows of which it says anything.
    mended, broken: those that become right, or wrong.
        classes: windows that each say to be of this class, for classes that lost or won any.
        ways: (from, to, windows), most first.
        which: some of them: (device, end, from, to, what the basis says or "").
    """

    windows: int
    changed: int
    basis: str
    known: int
    mended: int
    broken: int
    classes: dict[str, tuple[int, int]]
    ways: list[tuple[str, str, int]]
    which: list[tuple[str, str, str, str, str]]


class Example(msgspec.Struct, frozen=True):
    """A window that teacher and new student tell apart: what each says, and how sure it is (0 to 1).

    `values`: of its most telling inputs what a plot needs: readings in the sensor's units where a window
    has several, else standard deviations from the bootstrap's mean; None where missing. Of pictures
    `picture` instead: rows of the pixels' values.
    """

    device: str
    end: str
    teacher: str
    teacher_p: float
    student: str
    student_p: float
    label: str
    values: dict[str, list[float | None]]
    picture: list[list[float | None]]


class Disagreement(msgspec.Struct, frozen=True):
    """Where the new student does not say what the teacher says, of the windows that judge.

    Attributes:
        windows, apart, apart_before: compared; where the new student disagrees; where the running one does.
        unsure: of those apart, windows where the teacher gives its own class less than `words.SURE`.
        labelled, teacher_right, student_right: of those apart.
        classes, devices: name → (apart, windows): by the teacher's class, and by device; most apart first.
    """

    windows: int
    apart: int
    apart_before: int
    unsure: int
    labelled: int
    teacher_right: int
    student_right: int
    classes: dict[str, tuple[int, int]]
    devices: dict[str, tuple[int, int]]
    examples: list[Example]


class Distance(msgspec.Struct, frozen=True):
    """How far an input's recent values are from the bootstrap's, and from those before the last round.

    In standard deviations of the bootstrap. `usual` and `usual_step`: how far stretches of the bootstrap,
    as long as the recent one, are from the whole of it and from each other, at most. `missing`: the share of
    missing values in the bootstrap and of late. `constant`: the bootstrap has a single value, so that
    distances are in the sensor's own units.
    """

    distance: float
    usual: float
    step: float | None = None
    usual_step: float = 0.0
    missing: Pair = (0.0, 0.0)
    constant: bool = False


class Drift(msgspec.Struct, frozen=True):
    """Wasserstein-1 distances of the windows since the last round, largest first.

    `channels`: input → distance, the largest of `inputs`. `bands`: (input, band,
    distance of the band's strength, usual distance).
    """

    bootstrap: int
    recent: int
    inputs: int
    channels: dict[str, Distance]
    bands: list[tuple[str, str, float, float]]


class Learnt(msgspec.Struct, frozen=True):
    """What the round learnt from. Times are ISO 8601, "" where there is nothing.

    `labelled`: of the recent ones. `devices`: name → recent windows, most first, the first few;
    `device_count`: of all. `judging` windows were held out to judge by; `between` were used for neither: they
    overlap those, or lie in blocks that other rounds judge by.
    """

    recent: int
    reservoir: int
    labelled: int
    judging: int
    between: int
    device_count: int
    devices: dict[str, int]
    begin: str
    end: str


class Why(msgspec.Struct, frozen=True):
    """The whole; `words`: the same as sentences, by the name of the part. A part is None where there were
    too few windows to say anything of it."""

    decision: Decision | None
    moved: Moved | None
    disagreement: Disagreement | None
    drift: Drift | None
    learnt: Learnt
    words: dict[str, list[str]]


def of_report(report: dict[str, Any]) -> Why | None:
    """A round's explanation from its report; None if it has none (the first student, a round that failed).

    Raises ModelError if it is of another version of iot-stream.
    """
    if "why" not in report:
        return None
    try:
        return msgspec.convert(report["why"], Why)
    except msgspec.ValidationError as error:
        raise ModelError(
            f"the round's explanation was written by another version of iot-stream ({error}); "
            "`iot-stream explain --json` shows it as it is"
        ) from error
