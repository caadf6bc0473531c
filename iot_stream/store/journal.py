"""What has come and what was made of it: readings, windows, labels, predictions."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.columns import Columns
from iot_stream.readings import Block, Label, Times, Values
from iot_stream.store.base import Database, Transaction
from iot_stream.store.known import Device, Known
from iot_stream.store.segment import Heads, heads_of, pack, unpack
from iot_stream.windows import Windows

RETENTION_ROWS = 5000
RETENTION_SEGMENTS = 100
REMINDED = 1000  # segments: no broker has more in flight that it could bring again


class Entry(NamedTuple):
    """A block in the journal; `id` of its segment, `arrived` on the pipeline's clock."""

    id: int
    arrived: int
    block: Block


@dataclass(frozen=True)
class WindowSet:
    """Windows of many devices: `devices`, `starts`, `ends`, `arrived` (n,), `x` (n, length, inputs)."""

    ids: NDArray[np.int64]
    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    arrived: Times
    x: Values

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "WindowSet":
        return WindowSet(
            self.ids[keep],
            self.devices[keep],
            self.starts[keep],
            self.ends[keep],
            self.arrived[keep],
            self.x[keep],
        )


class Prediction(NamedTuple):
    device: str
    time: int
    version: int
    value: int
    p: float


class Journal:
    def __init__(self, store: Database) -> None:
        self._store = store
        self._known: dict[str, Known] = {}
        store.on_rollback(self._known.clear)

    # --- readings ---------------------------------------------------------------------------

    def append(self, tx: Transaction, pipeline: str, blocks: Columns, arrived: int) -> list[bool]:
        """Within a transaction: keep blocks that came together; False for those that are there already (a
        redelivery)."""
        known = self._up_to_date(pipeline)
        news = known.news(
            zip(
                blocks.devices, blocks.channels, blocks.boots, blocks.sources,
                blocks.seqs, blocks.firsts.tolist(), blocks.counts, strict=True,
            )
        )  # fmt: skip
        if any(news):
            added = tx.execute(
                "INSERT INTO journal (pipeline, arrived, heads, readings) VALUES (?,?,?,?) RETURNING id",
                (pipeline, arrived, *pack(blocks if all(news) else blocks.rows(news))),
            ).fetchone()
            known.position = added[0]
        return news

    def _up_to_date(self, pipeline: str) -> Known:
        """With what other collectors have written; or from the store, if what is remembered is not there."""
        known = self._known.get(pipeline)
        if known:
            later = self._store.read(
                "SELECT id FROM journal WHERE pipeline = ? AND id >= ? ORDER BY id LIMIT 2",
                pipeline,
                known.position,
            )
            if [row[0] for row in later] == [known.position]:
                return known
        if known is None or not later or later[0][0] != known.position:
            known = self._known[pipeline] = self._load(pipeline)
        for position, heads in self._heads(pipeline, known.position):
            known.news(heads)
            known.position = position
        return known

    def _load(self, pipeline: str) -> Known:
        position = self._store.one("SELECT segment FROM known_until WHERE pipeline = ?", pipeline) or 0
        rows = self._store.read("SELECT device, source, what FROM known WHERE pipeline = ?", pipeline)
        devices = {
            (device, source): msgspec.msgpack.decode(what, type=Device) for device, source, what in rows
        }
        known = Known(position, devices)
        newest = self._store.read(
            "SELECT heads FROM journal WHERE pipeline = ? AND id <= ? ORDER BY id DESC LIMIT ?",
            pipeline,
            position,
            REMINDED,
        )
        for (heads,) in reversed(newest):
            known.remind(heads_of(heads))
        return known

    def _heads(self, pipeline: str, position: int) -> Iterator[tuple[int, Heads]]:
        query = "SELECT id, heads FROM journal WHERE pipeline = ? AND id > ? ORDER BY id"
        for i, heads in self._store.read(query, pipeline, position):
            yield i, heads_of(heads)

    def save_known(self, tx: Transaction, pipeline: str) -> None:
        """So that the next start need not read the whole journal."""
        known = self._up_to_date(pipeline)
        tx.executemany(
            "INSERT INTO known VALUES (?,?,?,?)"
            " ON CONFLICT (pipeline, device, source) DO UPDATE SET what = excluded.what",
            [(pipeline, *key, msgspec.msgpack.encode(known.devices[key])) for key in known.changed],
        )
        tx.execute(
            "INSERT INTO known_until VALUES (?,?)"
            " ON CONFLICT (pipeline) DO UPDATE SET segment = excluded.segment",
            (pipeline, known.position),
        )
        known.changed.clear()

    def after(self, pipeline: str, position: int, limit: int) -> list[Entry]:
        """Blocks of the next `limit` segments; those of a device that follow each other without a gap in one
        segment come as one."""
        rows = self._store.read(
            "SELECT id, arrived, heads, readings FROM journal WHERE pipeline = ? AND id > ?"
            " ORDER BY id LIMIT ?",
            pipeline,
            position,
            limit,
        )
        return [
            Entry(i, arrived, block)
            for i, arrived, heads, readings in rows
            for block in unpack(heads, readings)
        ]

    def now(self, pipeline: str) -> int:
        """The pipeline's clock when the newest block arrived; 0 before the first."""
        query = "SELECT arrived FROM journal WHERE pipeline = ? ORDER BY id DESC LIMIT 1"
        return self._store.one(query, pipeline) or 0

    def readings(self, pipeline: str) -> dict[str, int]:
        """Number of readings stored of each device that has any."""
        stored, _ = self._counted(pipeline)
        return {device: n for device, n in sorted(stored.items()) if n}

    def received(self, pipeline: str) -> dict[str, int]:
        """As `readings`, with those that retention has taken: it never falls."""
        stored, forgotten = self._counted(pipeline)
        return dict(sorted((stored + forgotten).items()))

    def numbered(self, pipeline: str, sources: Sequence[int] = ()) -> dict[str, int]:
        """Of those received the ones of which it can be told whether others were lost: they are numbered, or
        the messages of their `sources` are."""
        found = Counter[str]()
        for device, source, packed in self._what_came(pipeline):
            if device is None:
                found.update(heads_of(packed).numbered(sources))
            else:
                what = msgspec.msgpack.decode(packed, type=Device)
                if what.boots or source in sources:
                    found[device] += what.readings + what.forgotten
        return dict(found)

    def _what_came(self, pipeline: str) -> list[tuple[str | None, int, bytes]]:
        """(device, source, what is known of it), and (None, 0, heads) of the segments that came later."""
        return self._store.read(
            "SELECT device, source, what FROM known WHERE pipeline = ? UNION ALL"
            " SELECT NULL, 0, heads FROM journal WHERE pipeline = ?"
            " AND id > coalesce((SELECT segment FROM known_until WHERE pipeline = ?), 0)",
            pipeline,
            pipeline,
            pipeline,
        )

    def _counted(self, pipeline: str) -> tuple[Counter[str], Counter[str]]:
        """By device: readings in the journal, and those that were. One query, for one moment of the store."""
        stored, forgotten = Counter[str](), Counter[str]()
        for device, _, packed in self._what_came(pipeline):
            if device is None:
                stored.update(heads_of(packed).counts())
            else:
                what = msgspec.msgpack.decode(packed, type=Device)
                stored[device] += what.readings
                forgotten[device] += what.forgotten
        return stored, forgotten

    def numbers(self, pipeline: str) -> list[tuple[str, int, str, int, int]]:
        """(device, source, boot, first number, count) of each numbered block."""
        return [
            (head.device, head.source, head.boot, head.seq, head.readings)
            for _, heads in self._heads(pipeline, 0)
            for head in heads
            if head.seq >= 0
        ]

    # --- windows ----------------------------------------------------------------------------

    def add_windows(
        self, tx: Transaction, pipeline: str, cut: str, found: Iterable[tuple[str, Windows, int]]
    ) -> int:
        """Of (device, windows, when they arrived) each window once: what is there under its key already is
        left as it is. How many are new? Of what is found together the newest come last, whoever's they are,
        for the newest of all are asked for by their ids."""
        rows = [
            (pipeline, cut, device, int(start), int(end), arrived, x.tobytes())
            for device, windows, arrived in found
            for start, end, x in zip(*windows, strict=True)
        ]
        added = tx.executemany(
            'INSERT INTO windows (pipeline, cut, device, start, "end", arrived, x)'
            " VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            sorted(rows, key=itemgetter(4)),
        )
        return added.rowcount

    def windows(
        self,
        pipeline: str,
        cut: str,
        shape: tuple[int, int],
        *,
        after: int = 0,
        newest: int = 0,
        limit: int = 100_000,
    ) -> WindowSet:
        """Windows with an id beyond `after` in order of id, or the `newest` so many.

        `shape` (length, inputs) of the cut.
        """
        order, count = ("DESC", newest) if newest else ("ASC", limit)
        rows = self._store.read(
            'SELECT id, device, start, "end", arrived, x FROM windows'  # noqa: S608  two constants
            f" WHERE pipeline = ? AND cut = ? AND id > ? ORDER BY id {order} LIMIT ?",
            pipeline,
            cut,
            after,
            count,
        )
        if newest:
            rows.reverse()
        columns = list(zip(*rows, strict=True)) or [(), (), (), (), (), ()]
        return WindowSet(
            np.array(columns[0], np.int64),
            np.array(columns[1], np.str_),
            np.array(columns[2], np.int64),
            np.array(columns[3], np.int64),
            np.array(columns[4], np.int64),
            np.frombuffer(b"".join(columns[5]), np.float32).reshape(len(rows), *shape),
        )

    def window_count(self, pipeline: str, cut: str, after: int = 0) -> int:
        query = "SELECT count(*) FROM windows WHERE pipeline = ? AND cut = ? AND id > ?"
        return int(self._store.one(query, pipeline, cut, after))

    def window_stats(self, pipeline: str) -> list[tuple[str, str, int, int, int]]:
        """(cut, device, count, first start, last end)."""
        return self._store.read(
            'SELECT cut, device, count(*), min(start), max("end") FROM windows WHERE pipeline = ?'
            " GROUP BY cut, device ORDER BY cut, device",
            pipeline,
        )

    # --- labels and predictions -------------------------------------------------------------

    def add_label(self, tx: Transaction, pipeline: str, label: Label, arrived: int) -> None:
        """A later label for the same time corrects the one before."""
        tx.execute(
            'INSERT INTO labels (pipeline, device, start, "end", value, arrived) VALUES (?,?,?,?,?,?)'
            ' ON CONFLICT (pipeline, device, start, "end")'
            " DO UPDATE SET value = excluded.value, arrived = excluded.arrived",
            (pipeline, label.device, label.start, label.end, label.value, arrived),
        )

    def label_counts(self, pipeline: str, after: int) -> dict[str, int]:
        """Device → how many have come after this time (ns on the pipeline's clock)."""
        query = "SELECT device, count(*) FROM labels WHERE pipeline = ? AND arrived > ? GROUP BY device"
        return dict(self._store.read(query, pipeline, after))

    def labels(self, pipeline: str) -> list[Label]:
        rows = self._store.read(
            'SELECT device, start, "end", value FROM labels WHERE pipeline = ? ORDER BY device, start',
            pipeline,
        )
        return [Label(*row) for row in rows]

    def labels_of(self, pipeline: str, device: str) -> list[Label]:
        query = (
            'SELECT device, start, "end", value FROM labels WHERE pipeline = ? AND device = ? ORDER BY start'
        )
        return [Label(*row) for row in self._store.read(query, pipeline, device)]

    def add_predictions(
        self, tx: Transaction, pipeline: str, predictions: Iterable[Prediction], arrived: int
    ) -> None:
        tx.executemany(
            "INSERT INTO predictions VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            [(pipeline, *prediction, arrived) for prediction in predictions],
        )

    def predictions(self, pipeline: str, since: int = 0) -> list[Prediction]:
        rows = self._store.read(
            "SELECT device, time, version, value, p FROM predictions WHERE pipeline = ? AND time >= ?"
            " ORDER BY device, time",
            pipeline,
            since,
        )
        return [Prediction(*row) for row in rows]

    def said_beside(
        self, pipeline: str, device: str, model: str, since: int, until: int, limit: int
    ) -> list[tuple[int, int, int, float, bytes | None]]:
        """(time, version, class, p, the model's logits if it has spoken): a device's newest predictions of
        windows that end at `since` or later, before `until`."""
        return self._store.read(
            'SELECT p.time, p.version, p.value, p.p, o.logits FROM predictions p LEFT JOIN outputs o'
            ' ON o.pipeline = p.pipeline AND o.model = ? AND o.device = p.device AND o."end" = p.time'
            " WHERE p.pipeline = ? AND p.device = ? AND p.time >= ? AND p.time < ?"
            " ORDER BY p.time DESC LIMIT ?",
            model, pipeline, device, since, until, limit,
        )  # fmt: skip

    # --- retention ---------------------------------------------------------------------------

    def oldest(self, pipeline: str, count: int) -> int | None:
        """When the `count` oldest segments had arrived (ns); None where there are not so many that every
        cutter has cut."""
        query = (
            "SELECT arrived FROM journal WHERE pipeline = ? AND id <="
            " (SELECT min(journal) FROM positions WHERE pipeline = ?) ORDER BY id LIMIT 1 OFFSET ?"
        )
        found: int | None = self._store.one(query, pipeline, pipeline, count)
        return found

    def retain(self, tx: Transaction, pipeline: str, oldest: int) -> int:
        """Forgets, a piece at a time, what arrived before `oldest`; returns the number of rows that went."""
        gone = self._retain_segments(tx, pipeline, oldest)
        for table in ("windows", "labels", "predictions"):
            where = "SELECT id" if table != "predictions" else "SELECT pipeline, device, time"
            key = "id" if table != "predictions" else "(pipeline, device, time)"
            gone += tx.execute(
                f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608  table names from the tuple above
                f" ({where} FROM {table} WHERE pipeline = ? AND arrived < ? LIMIT {RETENTION_ROWS})",
                (pipeline, oldest),
            ).rowcount
        return gone

    def drop_windows(self, tx: Transaction, pipeline: str, count: int) -> int:
        """Forgets the windows that were cut first; returns how many went."""
        where = "SELECT id FROM windows WHERE pipeline = ? ORDER BY id LIMIT ?"
        query = f"DELETE FROM windows WHERE id IN ({where})"  # noqa: S608  text from the line above
        return tx.execute(query, (pipeline, count)).rowcount

    def _retain_segments(self, tx: Transaction, pipeline: str, oldest: int) -> int:
        rows = self._store.read(
            "SELECT id, heads FROM journal WHERE pipeline = ? AND arrived < ? LIMIT ?",
            pipeline,
            oldest,
            RETENTION_SEGMENTS,
        )
        if rows:
            known = self._up_to_date(pipeline)
            for _, heads in rows:
                known.forget(heads_of(heads))
            self.save_known(tx, pipeline)
            tx.executemany("DELETE FROM journal WHERE id = ?", [(row[0],) for row in rows])
        return len(rows)
