"""What a watcher asks again and again: few rows by an index, however much is stored. Nothing here writes."""

from typing import NamedTuple

from iot_stream.clock import SECOND
from iot_stream.store.base import Database
from iot_stream.store.segment import heads_of

MOST_WINDOWS = 10_000  # that are judged at once
FEW_SEGMENTS, MOST_BYTES = 5, 500_000  # of the journal, by which a rate is told


class Ended(NamedTuple):
    """A round that is over; `ended` in wall time, `report` as it was written."""

    ended: int
    cohort: str
    started: int
    outcome: str
    report: str


class Events(NamedTuple):
    """What devices of a cohort reported of one version: how often, and when last (wall time)."""

    cohort: str
    event: str
    version: int
    times: int
    newest: int
    last_id: int


class Release(NamedTuple):
    """The newest of a cohort; `size` of its bundle in bytes."""

    cohort: str
    version: int
    signed: int
    size: int


class Said(NamedTuple):
    """What a model made of the window of a device that ends at `end`."""

    model: str
    device: str
    end: int
    logits: bytes


class Outline(NamedTuple):
    """A round without its report; `outcome` is "running" until it ends, `version` what it released, or 0."""

    id: str
    cohort: str
    trigger: str
    started: int
    ended: int | None
    stream_started: int
    outcome: str
    version: int


class Swap(NamedTuple):
    """How many devices took a version, and when the first of them did (wall time)."""

    version: int
    devices: int
    oldest: int


class Told(NamedTuple):
    """A window that ends at `end` and `arrived` (on the pipeline's clock), the student's class and certainty,
    and what two models made of it; None where nobody has spoken (yet)."""

    id: int
    device: str
    end: int
    arrived: int
    student: int | None
    p: float | None
    first: bytes | None
    second: bytes | None


class Overview:
    def __init__(self, store: Database) -> None:
        self._store = store

    def quarantined(self, pipeline: str) -> int:
        return int(self._store.one("SELECT count(*) FROM quarantine WHERE pipeline = ?", pipeline))

    def quarantined_by_device(self, pipeline: str) -> dict[str, int]:
        query = "SELECT device, count(*) FROM quarantine WHERE pipeline = ? GROUP BY device"
        return dict(self._store.read(query, pipeline))

    def waiting_since(self, pipeline: str, position: int) -> int | None:
        """When the first readings beyond a position in the journal had arrived (ns)."""
        query = "SELECT arrived FROM journal WHERE pipeline = ? AND id > ? ORDER BY id LIMIT 1"
        found: int | None = self._store.one(query, pipeline, position)
        return found

    def newest_window(self, pipeline: str, cut: str) -> int | None:
        """The end (ns) of the window that was cut last."""
        query = 'SELECT "end" FROM windows WHERE pipeline = ? AND cut = ? ORDER BY id DESC LIMIT 1'
        found: int | None = self._store.one(query, pipeline, cut)
        return found

    def releases(self, pipeline: str, slot: str) -> list[Release]:
        rows = self._store.read(
            "SELECT cohort, version, signed, length(bundle) FROM releases r WHERE pipeline = ? AND slot = ?"
            " AND version = (SELECT max(version) FROM releases WHERE pipeline = r.pipeline"
            " AND cohort = r.cohort AND slot = r.slot) ORDER BY cohort",
            pipeline,
            slot,
        )
        return [Release(*row) for row in rows]

    def rounds_running(self, pipeline: str) -> int:
        query = "SELECT count(*) FROM rounds WHERE pipeline = ? AND ended IS NULL"
        return int(self._store.one(query, pipeline))

    def rounds_ended(self, pipeline: str, after: int) -> list[Ended]:
        """Those that ended later than `after` (wall time), in that order; the first version is no round."""
        rows = self._store.read(
            "SELECT ended, cohort, started, outcome, report FROM rounds"
            " WHERE pipeline = ? AND ended > ? AND trigger <> 'bootstrap' ORDER BY ended",
            pipeline,
            after,
        )
        return [Ended(*row) for row in rows]

    def events(self, pipeline: str, after: int) -> list[Events]:
        """Those with an id beyond `after`."""
        rows = self._store.read(
            "SELECT coalesce(d.cohort, ''), e.event, e.version, count(*), max(e.at), max(e.id) FROM events e"
            " LEFT JOIN devices d ON d.pipeline = e.pipeline AND d.device = e.device"
            " WHERE e.pipeline = ? AND e.id > ? GROUP BY 1, 2, 3",
            pipeline,
            after,
        )
        return [Events(*row) for row in rows]

    def rounds_outlined(self, pipeline: str) -> list[Outline]:
        """In order of their beginning. A version that was rolled back to has the round of the first."""
        rows = self._store.read(
            "SELECT id, cohort, trigger, started, ended, stream_started, outcome, coalesce((SELECT"
            " min(version) FROM versions v WHERE v.pipeline = r.pipeline AND v.cohort = r.cohort AND v.round"
            " = r.id), 0) FROM rounds r WHERE pipeline = ? ORDER BY started",
            pipeline,
        )
        return [Outline(*row) for row in rows]

    def swaps(self, pipeline: str, since: int) -> list[Swap]:
        """Since a wall time."""
        rows = self._store.read(
            "SELECT version, count(DISTINCT device), min(at) FROM events WHERE pipeline = ? AND at >= ?"
            " AND event = 'applied' GROUP BY version ORDER BY 3",
            pipeline,
            since,
        )
        return [Swap(*row) for row in rows]

    def first_taken(self, pipeline: str, version: int, since: int) -> dict[str, int]:
        """Device → when it first took the version or a later one, since a wall time."""
        query = (
            "SELECT device, min(at) FROM events WHERE pipeline = ? AND at >= ? AND event = 'applied'"
            " AND version >= ? GROUP BY device"
        )
        return dict(self._store.read(query, pipeline, since, version))

    def readings_per_second(self, pipeline: str, segments: int) -> float | None:
        """Of all devices together, by the newest so many segments of the journal, or fewer where they are
        large; on the pipeline's clock."""
        rows = self._store.read(
            "SELECT id, arrived, length(heads) FROM journal WHERE pipeline = ? ORDER BY id DESC LIMIT ?",
            pipeline,
            segments,
        )
        size, count = 0, 0
        while count < len(rows) and (count < FEW_SEGMENTS or size < MOST_BYTES):
            size, count = size + rows[count][2], count + 1
        if count < 2 or rows[0][1] <= rows[count - 1][1]:
            return None
        heads = self._store.read(
            "SELECT heads FROM journal WHERE pipeline = ? AND id > ? AND id <= ?",
            pipeline,
            rows[count - 1][0],
            rows[0][0],
        )
        readings = sum(sum(heads_of(each).counts().values()) for (each,) in heads)
        return float(readings / ((rows[0][1] - rows[count - 1][1]) / SECOND))

    def released_since(self, pipeline: str, since: int) -> list[tuple[str, int]]:
        """(cohort, bytes of its bundle) of stable releases signed since a wall time."""
        return self._store.read(
            "SELECT cohort, length(bundle) FROM releases WHERE pipeline = ? AND slot = 'stable'"
            " AND signed > ?",
            pipeline,
            since,
        )

    # --- what models said -------------------------------------------------------------------

    def predictions_under(self, pipeline: str, labels: int) -> list[tuple[str, int, int, int]]:
        """(device, end, class, label) of windows that end under the newest so many labels. Where labels
        overlap, the one that holds comes first: the one that began last, of those the shortest."""
        return self._store.read(
            "SELECT p.device, p.time, p.value, l.value"  # noqa: S608  a constant
            f" FROM ({_LABELS}) l CROSS JOIN predictions p"
            ' WHERE p.pipeline = ? AND p.device = l.device AND p.time BETWEEN l.start AND l."end"'
            ' ORDER BY l.start DESC, l."end" LIMIT ?',
            pipeline,
            labels,
            pipeline,
            MOST_WINDOWS,
        )

    def outputs_under(
        self, pipeline: str, models: tuple[str, str], labels: int
    ) -> list[tuple[str, str, int, bytes, int]]:
        """(model, device, end, logits, label) of two models, as `predictions_under`."""
        return self._store.read(
            'SELECT o.model, o.device, o."end", o.logits, l.value'  # noqa: S608  a constant
            f" FROM ({_LABELS}) l CROSS JOIN outputs o WHERE o.pipeline = ? AND o.model IN (?, ?)"
            ' AND o.device = l.device AND o."end" BETWEEN l.start AND l."end"'
            ' ORDER BY l.start DESC, l."end" LIMIT ?',
            pipeline,
            labels,
            pipeline,
            *models,
            len(models) * MOST_WINDOWS,
        )

    def newest_predictions(self, pipeline: str, count: int) -> list[tuple[str, int, int]]:
        """(device, end of the window, class)."""
        return self._store.read(_PREDICTIONS, pipeline, count)

    def outputs_beside(self, pipeline: str, models: tuple[str, str], predictions: int) -> list[Said]:
        """Of two models, on the windows of the newest so many predictions."""
        rows = self._store.read(
            'SELECT o.model, o.device, o."end", o.logits'  # noqa: S608  a constant
            f" FROM ({_PREDICTIONS}) p CROSS JOIN outputs o"
            ' WHERE o.pipeline = ? AND o.model IN (?, ?) AND o.device = p.device AND o."end" = p.time',
            pipeline,
            predictions,
            pipeline,
            *models,
        )
        return [Said(*row) for row in rows]

    def told(self, pipeline: str, cut: str, models: tuple[str, str], after: int, limit: int) -> list[Told]:
        """What was said of the windows with an id beyond `after`, in order of id."""
        rows = self._store.read(
            'SELECT w.id, w.device, w."end", w.arrived, p.value, p.p, f.logits, s.logits FROM windows w'
            ' LEFT JOIN predictions p ON p.pipeline = w.pipeline AND p.device = w.device AND p.time = w."end"'
            " LEFT JOIN outputs f ON f.pipeline = w.pipeline AND f.model = ? AND f.device = w.device"
            ' AND f."end" = w."end"'
            " LEFT JOIN outputs s ON s.pipeline = w.pipeline AND s.model = ? AND s.device = w.device"
            ' AND s."end" = w."end"'
            " WHERE w.pipeline = ? AND w.cut = ? AND w.id > ? ORDER BY w.id LIMIT ?",
            *models, pipeline, cut, after, limit,
        )  # fmt: skip
        return [Told(*row) for row in rows]

    def before_newest(self, pipeline: str, cut: str, count: int) -> tuple[int, int]:
        """The id of the window after which the newest so many come, and when it had arrived."""
        rows = self._store.read(
            "SELECT id, arrived FROM windows WHERE pipeline = ? AND cut = ?"
            " ORDER BY id DESC LIMIT 1 OFFSET ?",
            pipeline,
            cut,
            count,
        )
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    def labels(self, pipeline: str) -> int:
        return int(self._store.one("SELECT count(*) FROM labels WHERE pipeline = ?", pipeline))

    def labels_since(self, pipeline: str, arrived: int, limit: int) -> list[tuple[str, int, int, int, int]]:
        """(device, start, end, class, arrived) of those that came at `arrived` or later, in that order."""
        return self._store.read(
            'SELECT device, start, "end", value, arrived FROM labels'
            " WHERE pipeline = ? AND arrived >= ? ORDER BY arrived LIMIT ?",
            pipeline,
            arrived,
            limit,
        )

    # --- whether there is anything new ---------------------------------------------------------

    def marks(self, pipeline: str, cut: str) -> dict[str, tuple[int, ...]]:
        """What it is about → figures that change when that changes."""
        found = {}
        for what, query, arguments in _MARKS:
            given = (pipeline, cut)[:arguments]
            rows = self._store.read(query, *given)
            found[what] = tuple(value or 0 for value in rows[0]) if rows else ()
        return found


# Each by the end of an index, or over a table that stays small; a table's ids are those of all pipelines.
_MARKS = (
    ("windows", "SELECT id FROM windows WHERE pipeline = ? AND cut = ? ORDER BY id DESC LIMIT 1", 2),
    ("readings", "SELECT id FROM journal WHERE pipeline = ? ORDER BY id DESC LIMIT 1", 1),
    ("predictions", "SELECT max(arrived) FROM predictions WHERE pipeline = ?", 1),
    ("labels", "SELECT max(arrived) FROM labels WHERE pipeline = ?", 1),
    ("rounds", "SELECT count(*), max(started), max(ended) FROM rounds WHERE pipeline = ?", 1),
    ("versions", "SELECT count(*), max(created) FROM versions WHERE pipeline = ?", 1),
    ("faults", "SELECT sum(n) FROM counters WHERE pipeline = ?", 1),
    ("devices", "SELECT count(*), sum(online), sum(version), max(seen) FROM devices WHERE pipeline = ?", 1),
    ("events", "SELECT max(id) FROM events", 0),
    ("decisions", "SELECT max(id) FROM decisions", 0),
    ("commands", "SELECT max(id), max(ended) FROM commands", 0),
    ("exclusions", "SELECT count(*), max(id) FROM exclusions WHERE pipeline = ?", 1),
    ("replacements", "SELECT count(*), max(at) FROM replacements WHERE pipeline = ?", 1),
    ("holds", 'SELECT count(*), max(id), count("until") FROM holds WHERE pipeline = ?', 1),
)

# CROSS JOIN: SQLite then goes through these few rows, and finds what belongs to each by its key.
_LABELS = 'SELECT device, start, "end", value FROM labels WHERE pipeline = ? ORDER BY arrived DESC LIMIT ?'
_PREDICTIONS = "SELECT device, time, value FROM predictions WHERE pipeline = ? ORDER BY arrived DESC LIMIT ?"
