"""The collector's tables: readings, windows, labels, predictions, and what was wrong."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Block, Label, Packed, Times, Values
from iot_stream.store.database import Database
from iot_stream.windows import Windows

QUARANTINE_ROWS = 1000
QUARANTINE_BYTES = 65_536
RETENTION_ROWS = 5000


class Entry(NamedTuple):
    """A block in the journal; `arrived` on the pipeline's clock."""

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


class Quarantined(NamedTuple):
    """A message that could not be used; `payload` its first bytes, of `size`."""

    id: int
    at: int
    device: str
    topic: str
    reason: str
    detail: str
    size: int
    payload: bytes

    @property
    def whole(self) -> bool:
        return len(self.payload) == self.size


class Journal:
    def __init__(self, store: Database) -> None:
        self._store = store

    # --- readings ---------------------------------------------------------------------------

    def append(self, tx: sqlite3.Connection, pipeline: str, block: Block, arrived: int) -> bool:
        """Within a transaction; False if these readings are there already (a redelivery)."""
        key = f"{block.boot}/{block.seq}" if block.numbered else _key_of_times(block)
        cursor = tx.execute(
            "INSERT OR IGNORE INTO journal (pipeline, device, source, key, boot, seq, n, arrived, block)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            (
                pipeline,
                block.device,
                block.source,
                key,
                block.boot,
                block.seq,
                len(block),
                arrived,
                msgspec.msgpack.encode(block.packed()),
            ),
        )
        return cursor.rowcount > 0

    def after(self, pipeline: str, position: int, limit: int) -> list[Entry]:
        rows = self._store.read(
            "SELECT id, arrived, block FROM journal WHERE id > ? AND pipeline = ? ORDER BY id LIMIT ?",
            position,
            pipeline,
            limit,
        )
        return [
            Entry(i, arrived, msgspec.msgpack.decode(data, type=Packed).block()) for i, arrived, data in rows
        ]

    def now(self, pipeline: str) -> int:
        """The pipeline's clock when the newest block arrived; 0 before the first."""
        query = "SELECT arrived FROM journal WHERE pipeline = ? ORDER BY id DESC LIMIT 1"
        return self._store.one(query, pipeline) or 0

    def readings(self, pipeline: str) -> dict[str, int]:
        """Number of readings stored of each device."""
        return dict(
            self._store.read(
                "SELECT device, sum(n) FROM journal WHERE pipeline = ? GROUP BY device", pipeline
            )
        )

    def numbers(self, pipeline: str) -> list[tuple[str, int, str, int, int]]:
        """(device, source, boot, first number, count) of each numbered block."""
        return self._store.read(
            "SELECT device, source, boot, seq, n FROM journal WHERE pipeline = ? AND seq >= 0", pipeline
        )

    # --- conversations ----------------------------------------------------------------------

    def conversation(self, pipeline: str, source: int) -> bytes | None:
        query = "SELECT snapshot FROM conversations WHERE pipeline = ? AND source = ?"
        found: bytes | None = self._store.one(query, pipeline, source)
        return found

    def save_conversation(self, tx: sqlite3.Connection, pipeline: str, source: int, snapshot: bytes) -> None:
        tx.execute("INSERT OR REPLACE INTO conversations VALUES (?,?,?)", (pipeline, source, snapshot))

    # --- cutters ----------------------------------------------------------------------------

    def position(self, pipeline: str, cut: str) -> int:
        return (
            self._store.one("SELECT journal FROM positions WHERE pipeline = ? AND cut = ?", pipeline, cut)
            or 0
        )

    def cutter_states(self, pipeline: str, cut: str) -> dict[str, bytes]:
        return dict(
            self._store.read(
                "SELECT device, state FROM cutters WHERE pipeline = ? AND cut = ?", pipeline, cut
            )
        )

    def save_cutters(
        self, tx: sqlite3.Connection, pipeline: str, cut: str, position: int, states: dict[str, bytes]
    ) -> None:
        tx.execute("INSERT OR REPLACE INTO positions VALUES (?,?,?)", (pipeline, cut, position))
        tx.executemany(
            "INSERT OR REPLACE INTO cutters VALUES (?,?,?,?)",
            [(pipeline, cut, device, state) for device, state in states.items()],
        )

    # --- windows ----------------------------------------------------------------------------

    def add_windows(
        self, tx: sqlite3.Connection, pipeline: str, cut: str, device: str, windows: Windows, arrived: int
    ) -> None:
        """Each window once: what is there under its key already is left as it is."""
        tx.executemany(
            'INSERT OR IGNORE INTO windows (pipeline, cut, device, start, "end", arrived, x)'
            " VALUES (?,?,?,?,?,?,?)",
            [
                (pipeline, cut, device, int(start), int(end), arrived, x.tobytes())
                for start, end, x in zip(*windows, strict=True)
            ],
        )

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

    def add_label(self, tx: sqlite3.Connection, pipeline: str, label: Label, arrived: int) -> None:
        """A later label for the same time corrects the one before."""
        tx.execute(
            'INSERT OR REPLACE INTO labels (pipeline, device, start, "end", value, arrived)'
            " VALUES (?,?,?,?,?,?)",
            (pipeline, label.device, label.start, label.end, label.value, arrived),
        )

    def labels(self, pipeline: str) -> list[Label]:
        rows = self._store.read(
            'SELECT device, start, "end", value FROM labels WHERE pipeline = ? ORDER BY device, start',
            pipeline,
        )
        return [Label(*row) for row in rows]

    def add_predictions(
        self, tx: sqlite3.Connection, pipeline: str, predictions: Iterable[Prediction], arrived: int
    ) -> None:
        tx.executemany(
            "INSERT OR IGNORE INTO predictions VALUES (?,?,?,?,?,?,?)",
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

    # --- what was wrong ---------------------------------------------------------------------

    def count(self, tx: sqlite3.Connection, pipeline: str, device: str, reason: str, n: int = 1) -> None:
        tx.execute(
            "INSERT INTO counters VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            (pipeline, device, reason, n),
        )

    def counters(self, pipeline: str) -> list[tuple[str, str, int]]:
        return self._store.read(
            "SELECT device, reason, n FROM counters WHERE pipeline = ? ORDER BY device, reason", pipeline
        )

    def quarantine(
        self,
        tx: sqlite3.Connection,
        at: int,
        pipeline: str,
        device: str,
        topic: str,
        reason: str,
        detail: str,
        payload: bytes,
    ) -> None:
        """Keeps the newest messages that could not be used, for a person to look at."""
        cursor = tx.execute(
            "INSERT INTO quarantine (at, pipeline, device, topic, reason, detail, payload, size)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (at, pipeline, device, topic, reason, detail[:500], payload[:QUARANTINE_BYTES], len(payload)),
        )
        tx.execute("DELETE FROM quarantine WHERE id <= ?", ((cursor.lastrowid or 0) - QUARANTINE_ROWS,))

    def quarantined(
        self, pipeline: str, *, ids: Iterable[int] = (), device: str = "", reason: str = ""
    ) -> list[Quarantined]:
        """Oldest first; of these ids, this device, this reason, where they are given."""
        rows = self._store.read(
            "SELECT id, at, device, topic, reason, detail, size, payload FROM quarantine"
            " WHERE pipeline = ? AND ? IN ('', device) AND ? IN ('', reason) ORDER BY id",
            pipeline,
            device,
            reason,
        )
        wanted = set(ids)
        return [found for row in rows if (found := Quarantined(*row)).id in wanted or not wanted]

    def drop_quarantined(self, tx: sqlite3.Connection, ids: Iterable[int]) -> None:
        tx.executemany("DELETE FROM quarantine WHERE id = ?", [(each,) for each in ids])

    def oldest(self, pipeline: str, count: int) -> int | None:
        """When the `count` oldest blocks had arrived (ns); None where there are not so many that every cutter
        has cut."""
        query = (
            "SELECT arrived FROM journal WHERE pipeline = ? AND id <="
            " (SELECT min(journal) FROM positions WHERE pipeline = ?) ORDER BY id LIMIT 1 OFFSET ?"
        )
        found: int | None = self._store.one(query, pipeline, pipeline, count)
        return found

    def retain(self, tx: sqlite3.Connection, pipeline: str, oldest: int) -> int:
        """Forgets, a piece at a time, what arrived before `oldest`; returns the number of rows that went."""
        gone = 0
        for table in ("journal", "windows", "labels", "predictions"):
            where = "SELECT rowid" if table != "predictions" else "SELECT pipeline, device, time"
            key = "rowid" if table != "predictions" else "(pipeline, device, time)"
            gone += tx.execute(
                f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608  table names from the tuple above
                f" ({where} FROM {table} WHERE pipeline = ? AND arrived < ? LIMIT {RETENTION_ROWS})",
                (pipeline, oldest),
            ).rowcount
        return gone


def _key_of_times(block: Block) -> str:
    return f"@{int(block.times[0])}+{len(block)}:{','.join(block.channels)}"
