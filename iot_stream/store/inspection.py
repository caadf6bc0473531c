"""What a page asks of one round, one version, one device: few rows by a key, however much is stored."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from iot_stream.clock import SECOND
from iot_stream.readings import Block, Label
from iot_stream.store.base import Database
from iot_stream.store.journal import Prediction
from iot_stream.store.rollouts import Decision
from iot_stream.store.segment import SOURCE, Heads, heads_of, of_device

EVER = 2**62  # later than all times
PIECE = 50  # segments that are looked through at once
MOST_BYTES = 32_000_000  # of segments that are looked through for one device
MOST_HEADS = 10_000_000  # bytes by which it is told which sources bring readings
SPOKEN = 500  # predictions by which it is told whether they meet the service's windows
ENOUGH = 10  # windows by which it is known how often they come
QUIET, LONGER = 600 * SECOND, 3  # silent: for so long, and so many times longer than ever of late


class RoundRow(NamedTuple):
    """`report` as it was written."""

    id: str
    cohort: str
    trigger: str
    started: int
    ended: int | None
    outcome: str
    report: str


class VersionRow(NamedTuple):
    """`provenance` as it was written."""

    cohort: str
    version: int
    round: str
    created: int
    graph: str
    spec: str
    weights: str
    encoding: str
    provenance: str


class Event(NamedTuple):
    """What a device reported; `at` in wall time, `report` as it came."""

    at: int
    event: str
    version: int
    report: str


class Labelled(NamedTuple):
    """A device's labels: how many `came`, when the `first` and the `last` of them begin, how many are true
    for longer than their moment (`lasting`), and how many `met` a window."""

    device: str
    came: int
    first: int
    last: int
    lasting: int
    met: int


class Spoken(NamedTuple):
    """Of a device's newest predictions: `due`, those that should have met a window of the service by now,
    how many of them `met` one, and their mean certainty; and the `last` of all."""

    due: int
    met: int
    certainty: float
    last: Prediction | None


class Stretch(NamedTuple):
    """A device's readings in the journal, oldest first. `segment`: the newest that was looked at; `whole`:
    whether all of the time that was asked for was looked through."""

    blocks: list[Block]
    segment: int
    whole: bool


_ROUND = "SELECT id, cohort, trigger, started, ended, outcome, report FROM rounds"
_VERSION = "SELECT cohort, version, round, created, graph, spec, weights, encoding, provenance FROM versions"


class Inspection:
    def __init__(self, store: Database) -> None:
        self._store = store

    # --- sources ----------------------------------------------------------------------------

    def arrived(self, pipeline: str, sources: int) -> dict[int, int]:
        """Source → the pipeline's clock when its newest readings arrived; of what came of late, as far back
        as is needed to find so many `sources`, but not for ever."""
        found: dict[int, int] = {}
        position, looked = EVER, 0
        while looked < MOST_HEADS and not found.keys() >= set(range(sources)):
            rows = self._store.read(
                "SELECT id, arrived, heads FROM journal WHERE pipeline = ? AND id < ?"
                " ORDER BY id DESC LIMIT ?",
                pipeline,
                position,
                PIECE,
            )
            if not rows:
                break
            position = rows[-1][0]
            for _, arrived, heads in rows:
                looked += len(heads)
                for source in set(heads_of(heads).rows()[:, SOURCE].tolist()):
                    found.setdefault(source, arrived)
        return found

    # --- rounds, versions, rollouts ---------------------------------------------------------

    def rounds(
        self, pipeline: str, limit: int, *, before: int = EVER, cohort: str | None = None
    ) -> list[RoundRow]:
        """Those that began before a time (wall), newest first; of one cohort or all."""
        rows = self._store.read(
            f"{_ROUND} WHERE id IN (SELECT id FROM rounds WHERE pipeline = ? AND started < ?"  # noqa: S608  a constant
            " AND cohort = coalesce(?, cohort) ORDER BY started DESC, id DESC LIMIT ?)"
            " ORDER BY started DESC, id DESC",
            pipeline,
            before,
            cohort,
            limit,
        )
        return [RoundRow(*row) for row in rows]

    def round(self, pipeline: str, name: str) -> RoundRow | None:
        rows = self._store.read(f"{_ROUND} WHERE pipeline = ? AND id = ?", pipeline, name)
        return RoundRow(*rows[0]) if rows else None

    def versions(
        self, pipeline: str, limit: int, *, before: int = EVER, cohort: str | None = None
    ) -> list[VersionRow]:
        """Those that were made before a time (wall), newest first; of one cohort or all."""
        rows = self._store.read(
            f"{_VERSION} WHERE pipeline = ? AND created < ? AND cohort = coalesce(?, cohort)"
            " ORDER BY created DESC, version DESC LIMIT ?",
            pipeline,
            before,
            cohort,
            limit,
        )
        return [VersionRow(*row) for row in rows]

    def version(self, pipeline: str, cohort: str, number: int) -> VersionRow | None:
        where = "WHERE pipeline = ? AND cohort = ? AND version = ?"
        rows = self._store.read(f"{_VERSION} {where}", pipeline, cohort, number)
        return VersionRow(*rows[0]) if rows else None

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Artifact → its bytes, of those that are there."""
        wanted = sorted(set(digests))
        marks = ",".join("?" * len(wanted))
        query = f"SELECT sha256, length(content) FROM artifacts WHERE sha256 IN ({marks})"  # noqa: S608
        return dict(self._store.read(query, *wanted)) if wanted else {}

    def running(self, pipeline: str) -> dict[tuple[str, int], int]:
        """Cohort and version → the devices that say they run it."""
        query = "SELECT cohort, version, count(*) FROM devices WHERE pipeline = ? GROUP BY cohort, version"
        return {(cohort, version): n for cohort, version, n in self._store.read(query, pipeline)}

    def decisions(self, pipeline: str, limit: int) -> list[Decision]:
        """The newest, newest first."""
        rows = self._store.read(
            "SELECT at, cohort, version, who, what, why FROM decisions WHERE pipeline = ?"
            " ORDER BY id DESC LIMIT ?",
            pipeline,
            limit,
        )
        return [Decision(*row) for row in rows]

    # --- one device -------------------------------------------------------------------------

    def status(self, pipeline: str, device: str) -> str:
        """What it said of itself last, as it came; "" where it never did."""
        query = "SELECT status FROM devices WHERE pipeline = ? AND device = ?"
        return self._store.one(query, pipeline, device) or ""

    def events(self, pipeline: str, device: str, limit: int) -> list[Event]:
        """Its newest, newest first."""
        rows = self._store.read(
            "SELECT at, event, version, report FROM events WHERE pipeline = ? AND device = ?"
            " ORDER BY id DESC LIMIT ?",
            pipeline,
            device,
            limit,
        )
        return [Event(*row) for row in rows]

    def problems(self, pipeline: str, device: str) -> dict[str, int]:
        """Reason → how often something was wrong with what came of it."""
        query = "SELECT reason, n FROM counters WHERE pipeline = ? AND device = ? ORDER BY reason"
        return dict(self._store.read(query, pipeline, device))

    def quarantined(self, pipeline: str, device: str) -> int:
        """Its messages that could not be used and are kept."""
        query = "SELECT count(*) FROM quarantine WHERE pipeline = ? AND device = ?"
        return int(self._store.one(query, pipeline, device))

    def readings(self, pipeline: str, device: str, since: int, until: int, *, after: int = 0) -> Stretch:
        """Of what arrived between two times on the pipeline's clock, in segments beyond `after`; as much of
        the newest of it as a page can bear to wait for."""
        found: list[list[Block]] = []
        newest, below, left = after, EVER, MOST_BYTES
        name = device.encode()
        while left > 0:
            rows = self._store.read(
                "SELECT id, heads, length(readings) FROM journal WHERE pipeline = ? AND id > ? AND id < ?"
                " AND arrived BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
                pipeline, after, below, since, until, PIECE,
            )  # fmt: skip
            for number, heads, size in rows:
                newest, below = max(newest, number), number
                left -= len(heads)
                if name in heads and device in (told := heads_of(heads)).devices:
                    left -= size
                    found.append(self._blocks(number, told, device))
                if left <= 0:
                    break
            if len(rows) < PIECE:
                break
        blocks = [block for segment in reversed(found) for block in segment]
        return Stretch(blocks, newest, left > 0)

    def _blocks(self, segment: int, heads: Heads, device: str) -> list[Block]:
        readings = self._store.one("SELECT readings FROM journal WHERE id = ?", segment)
        # None: retention has just taken it.
        return [] if readings is None else list(of_device(heads, readings, device))

    def predictions(self, pipeline: str, device: str, since: int, until: int, limit: int) -> list[Prediction]:
        """Its newest of windows that end between two times, oldest first."""
        rows = self._store.read(
            "SELECT device, time, version, value, p FROM predictions WHERE pipeline = ? AND device = ?"
            " AND time BETWEEN ? AND ? ORDER BY time DESC LIMIT ?",
            pipeline, device, since, until, limit,
        )  # fmt: skip
        return [Prediction(*row) for row in reversed(rows)]

    def expected(self, pipeline: str, cut: str, device: str) -> tuple[int, int] | None:
        """When its last window came, and when at the latest the next was to come, on the pipeline's clock:
        after ten minutes, or three times as long as one has taken of late. None while there are few."""
        query = (
            "SELECT arrived FROM windows WHERE pipeline = ? AND cut = ? AND device = ?"
            " ORDER BY start DESC LIMIT ?"
        )
        came = sorted(arrived for (arrived,) in self._store.read(query, pipeline, cut, device, SPOKEN))
        if len(came) < ENOUGH:
            return None
        longest = max(after - before for before, after in pairwise(came))
        return came[-1], came[-1] + max(QUIET, LONGER * longest)

    def spoken(self, pipeline: str, cut: str, device: str) -> Spoken:
        newest = self.predictions(pipeline, device, 0, EVER, SPOKEN)
        rows = self._store.read(
            'SELECT "end" FROM windows WHERE pipeline = ? AND cut = ? AND device = ?'
            " ORDER BY start DESC LIMIT ?",
            pipeline, cut, device, 2 * SPOKEN,
        )  # fmt: skip
        ends = {end for (end,) in rows}
        first, last = min(ends, default=EVER), max(ends, default=0)
        due = [each for each in newest if first <= each.time <= last]
        met = sum(each.time in ends for each in due)
        certainty = sum(each.p for each in due) / max(1, len(due))
        return Spoken(len(due), met, certainty, newest[-1] if newest else None)

    def outputs(
        self, pipeline: str, model: str, device: str, since: int, until: int, limit: int
    ) -> list[tuple[int, bytes]]:
        """(end, logits): what a model made of its newest windows that end between two times, oldest first."""
        rows = self._store.read(
            'SELECT "end", logits FROM outputs WHERE pipeline = ? AND model = ? AND device = ?'
            ' AND "end" BETWEEN ? AND ? ORDER BY "end" DESC LIMIT ?',
            pipeline, model, device, since, until, limit,
        )  # fmt: skip
        return [(end, bytes(logits)) for end, logits in reversed(rows)]

    def labels(self, pipeline: str, device: str, since: int, until: int, limit: int) -> list[Label]:
        """Of the newest that begin by `until`, those that hold at `since` or later, oldest first."""
        rows = self._store.read(
            'SELECT device, start, "end", value FROM labels WHERE pipeline = ? AND device = ?'
            " AND start <= ? ORDER BY start DESC LIMIT ?",
            pipeline, device, until, limit,
        )  # fmt: skip
        return [label for row in reversed(rows) if (label := Label(*row)).end >= since]

    def labelled(self, pipeline: str, cut: str) -> list[Labelled]:
        """Of each device that has labels. A label meets a window that ends while it holds; windows are found
        by their beginning, which is not further before that than the longest of them."""
        rows = self._store.read(
            "SELECT l.device, count(*), min(l.start), max(l.start),"
            ' sum(CASE WHEN l."end" > l.start THEN 1 ELSE 0 END), sum(CASE WHEN EXISTS ('
            " SELECT 1 FROM windows w WHERE w.pipeline = l.pipeline AND w.cut = ? AND w.device = l.device"
            ' AND w."end" BETWEEN l.start AND l."end" AND w.start BETWEEN l.start - ('
            ' SELECT max("end" - start) FROM windows WHERE pipeline = ? AND cut = ?) AND l."end"'
            ") THEN 1 ELSE 0 END) FROM labels l WHERE l.pipeline = ? GROUP BY l.device ORDER BY l.device",
            cut, pipeline, cut, pipeline,
        )  # fmt: skip
        return [Labelled(*row) for row in rows]
