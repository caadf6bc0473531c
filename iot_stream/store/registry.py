"""The registry: models with their provenance, rounds, releases, devices, commands."""

import hashlib
import json
from typing import Any, NamedTuple

from iot_stream.clock import wall
from iot_stream.errors import StoreError
from iot_stream.store.base import Database, Transaction
from iot_stream.store.rollouts import ABORTED

Report = dict[str, Any]


class Version(NamedTuple):
    """A released or releasable student; artifacts by hash. `resume`: what the next round starts from."""

    pipeline: str
    cohort: str
    version: int
    round: str
    created: int
    graph: str
    spec: str
    weights: str
    encoding: str
    resume: str
    provenance: Report


class Round(NamedTuple):
    """One distillation; `started`, `ended` in wall time, `stream_started` on the pipeline's clock."""

    id: str
    pipeline: str
    cohort: str
    trigger: str
    started: int
    ended: int | None
    stream_started: int
    outcome: str
    report: Report


class Command(NamedTuple):
    id: int
    kind: str
    pipeline: str
    arguments: Report


class Device(NamedTuple):
    """`pinned`: it stays at its version, whatever is released; None: nobody has decided."""

    device: str
    cohort: str
    online: bool
    version: int
    seen: int
    pinned: bool | None = None


class Checkpoint:
    """Where one training stands, as bytes; of the last save alone."""

    def __init__(self, store: Database, key: str) -> None:
        self._store, self._key = store, key

    def load(self) -> bytes | None:
        content = self._store.one("SELECT content FROM checkpoints WHERE key = ?", self._key)
        return None if content is None else bytes(content)

    def save(self, content: bytes) -> None:
        with self._store.write() as tx:
            tx.execute(
                "INSERT INTO checkpoints VALUES (?,?)"
                " ON CONFLICT (key) DO UPDATE SET content = excluded.content",
                (self._key, content),
            )


def _version(row: tuple[Any, ...]) -> Version:
    return Version._make([*row[:-1], json.loads(row[-1])])


class Registry:
    def __init__(self, store: Database) -> None:
        self._store = store

    # --- artifacts and models ---------------------------------------------------------------

    def put_artifact(self, tx: Transaction, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        tx.execute("INSERT INTO artifacts VALUES (?,?) ON CONFLICT DO NOTHING", (digest, content))
        return digest

    def artifact(self, digest: str) -> bytes:
        content = self._store.one("SELECT content FROM artifacts WHERE sha256 = ?", digest)
        if content is None:
            raise StoreError(f"store {self._store.place}: no artifact {digest}; restore it from a backup")
        return bytes(content)

    def put_model(self, key: str, kind: str, content: bytes, report: Report) -> None:
        """Keep a trained model (safetensors) under the hash of what made it."""
        with self._store.write() as tx:
            digest = self.put_artifact(tx, content)
            tx.execute(
                "INSERT INTO models VALUES (?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET"
                " kind = excluded.kind, created = excluded.created, content = excluded.content,"
                " report = excluded.report",
                (key, kind, wall(), digest, json.dumps(report)),
            )

    def model(self, key: str) -> tuple[bytes, Report] | None:
        rows = self._store.read("SELECT content, report FROM models WHERE key = ?", key)
        return (self.artifact(rows[0][0]), json.loads(rows[0][1])) if rows else None

    def set_teacher(self, pipeline: str, key: str) -> None:
        with self._store.write() as tx:
            tx.execute(
                "INSERT INTO teachers VALUES (?,?) ON CONFLICT (pipeline) DO UPDATE SET key = excluded.key",
                (pipeline, key),
            )

    def teacher(self, pipeline: str) -> str:
        """The key of the one whose word is taken now; "" before there is any."""
        return str(self._store.one("SELECT key FROM teachers WHERE pipeline = ?", pipeline) or "")

    def checkpoint(self, key: str) -> Checkpoint:
        return Checkpoint(self._store, key)

    def drop_checkpoints(self, prefix: str) -> None:
        """Of trainings that are over."""
        with self._store.write() as tx:
            tx.execute("DELETE FROM checkpoints WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))

    # --- rounds and versions ----------------------------------------------------------------

    def save_round(self, tx: Transaction, round_: Round) -> None:
        tx.execute(
            "INSERT INTO rounds VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
            " pipeline = excluded.pipeline, cohort = excluded.cohort, trigger = excluded.trigger,"
            " started = excluded.started, ended = excluded.ended, stream_started = excluded.stream_started,"
            " outcome = excluded.outcome, report = excluded.report",
            (*round_[:-1], json.dumps(round_.report)),
        )

    def interrupt_rounds(self, tx: Transaction, pipeline: str, at: int) -> None:
        """Those under way have ended then, and came to nothing."""
        tx.execute(
            "UPDATE rounds SET ended = ?, outcome = 'interrupted' WHERE pipeline = ? AND ended IS NULL",
            (at, pipeline),
        )

    def rounds(self, pipeline: str, cohort: str | None = None) -> list[Round]:
        """Of one cohort or all, in order of their beginning."""
        rows = self._store.read(
            "SELECT * FROM rounds WHERE pipeline = ? AND cohort = coalesce(?, cohort) ORDER BY started",
            pipeline,
            cohort,
        )
        return [Round._make([*row[:-1], json.loads(row[-1])]) for row in rows]

    def add_version(self, tx: Transaction, version: Version) -> None:
        tx.execute(
            "INSERT INTO versions VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (*version[:-1], json.dumps(version.provenance)),
        )

    def versions(self, pipeline: str, cohort: str | None = None) -> list[Version]:
        """In order of number."""
        rows = self._store.read(
            "SELECT * FROM versions WHERE pipeline = ? AND cohort = coalesce(?, cohort)"
            " ORDER BY cohort, version",
            pipeline,
            cohort,
        )
        return [_version(row) for row in rows]

    def newest(self, pipeline: str, cohort: str) -> Version | None:
        """The newest that has not been called off."""
        rows = self._store.read(
            "SELECT * FROM versions WHERE pipeline = ? AND cohort = ? AND version NOT IN (SELECT version"
            " FROM rollouts WHERE pipeline = ? AND cohort = ? AND state = ?) ORDER BY version DESC LIMIT 1",
            pipeline, cohort, pipeline, cohort, ABORTED,
        )  # fmt: skip
        return _version(rows[0]) if rows else None

    def brought_back(self, pipeline: str, cohort: str, after: int) -> Version | None:
        """The newest above a number that carries a former one's weights again."""
        rows = self._store.read(
            "SELECT * FROM versions WHERE pipeline = ? AND cohort = ? AND version > ? AND provenance LIKE ?"
            " ORDER BY version DESC LIMIT 1",
            pipeline, cohort, after, '%"rollback_of":%',
        )  # fmt: skip
        return _version(rows[0]) if rows else None

    def highest(self, pipeline: str, cohort: str) -> int:
        """The highest number given to a version; 0 before the first."""
        query = "SELECT max(version) FROM versions WHERE pipeline = ? AND cohort = ?"
        return int(self._store.one(query, pipeline, cohort) or 0)

    def version(self, pipeline: str, cohort: str, number: int) -> Version | None:
        query = "SELECT * FROM versions WHERE pipeline = ? AND cohort = ? AND version = ?"
        rows = self._store.read(query, pipeline, cohort, number)
        return _version(rows[0]) if rows else None

    def cohorts(self, pipeline: str) -> list[str]:
        return [
            row[0]
            for row in self._store.read("SELECT DISTINCT cohort FROM versions WHERE pipeline = ?", pipeline)
        ]

    # --- outputs of teacher and rivals ------------------------------------------------------

    def add_outputs(self, tx: Transaction, rows: list[tuple[str, str, str, int, int, int, bytes]]) -> None:
        """(pipeline, model, device, end, start, arrived, float32 logits)"""
        tx.executemany("INSERT INTO outputs VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", rows)

    def outputs(self, pipeline: str, model: str, since: int = 0) -> list[tuple[str, int, int, int, bytes]]:
        """(device, end, start, arrived, logits) of windows that end at `since` or later."""
        return self._store.read(
            'SELECT device, "end", start, arrived, logits FROM outputs'
            ' WHERE pipeline = ? AND model = ? AND "end" >= ? ORDER BY device, "end"',
            pipeline,
            model,
            since,
        )

    def output_count(self, pipeline: str, model: str) -> int:
        return sum(self.output_counts(pipeline, model).values())

    def output_counts(self, pipeline: str, model: str, silence: bytes = b"") -> dict[str, int]:
        """Device → windows that the model has spoken on; of whose logits are `silence` it said nothing."""
        query = (
            "SELECT device, count(*) FROM outputs"
            " WHERE pipeline = ? AND model = ? AND logits <> ? GROUP BY device"
        )
        return dict(self._store.read(query, pipeline, model, silence))

    def output_total(self, pipeline: str) -> int:
        return int(self._store.one("SELECT count(*) FROM outputs WHERE pipeline = ?", pipeline))

    def scored_up_to(self, pipeline: str, model: str, cut: str) -> int:
        """The id of the newest window of this cut that the model has spoken on; 0 for none."""
        return (
            self._store.one(
                "SELECT max(w.id) FROM windows w JOIN outputs o"
                ' ON o.pipeline = w.pipeline AND o.device = w.device AND o."end" = w."end"'
                " WHERE w.pipeline = ? AND w.cut = ? AND o.model = ?",
                pipeline,
                cut,
                model,
            )
            or 0
        )

    # --- releases and devices ---------------------------------------------------------------

    def save_release(self, pipeline: str, cohort: str, slot: str, version: int, bundle: bytes) -> None:
        with self._store.write() as tx:
            tx.execute(
                "INSERT INTO releases VALUES (?,?,?,?,?,?) ON CONFLICT (pipeline, cohort, slot, version)"
                " DO UPDATE SET signed = excluded.signed, bundle = excluded.bundle",
                (pipeline, cohort, slot, version, wall(), bundle),
            )

    def release(self, pipeline: str, cohort: str, slot: str) -> tuple[int, bytes] | None:
        """Version and bundle that this slot carries."""
        rows = self._store.read(
            "SELECT version, bundle FROM releases WHERE pipeline = ? AND cohort = ? AND slot = ?"
            " ORDER BY version DESC LIMIT 1",
            pipeline,
            cohort,
            slot,
        )
        return (rows[0][0], bytes(rows[0][1])) if rows else None

    def released(self, pipeline: str, cohort: str, slot: str, count: int) -> list[int]:
        """The last versions that this slot carried, the newest first."""
        rows = self._store.read(
            "SELECT version FROM releases WHERE pipeline = ? AND cohort = ? AND slot = ?"
            " ORDER BY version DESC LIMIT ?",
            pipeline, cohort, slot, count,
        )  # fmt: skip
        return [int(row[0]) for row in rows]

    def save_device(self, pipeline: str, device: Device, status: str) -> None:
        """Whether it is pinned stays as it is."""
        name, cohort, online, version, seen, _ = device
        with self._store.write() as tx:
            tx.execute(
                "INSERT INTO devices (pipeline, device, cohort, online, version, seen, status)"
                " VALUES (?,?,?,?,?,?,?) ON CONFLICT (pipeline, device) DO UPDATE SET"
                " cohort = excluded.cohort, online = excluded.online, version = excluded.version,"
                " seen = excluded.seen, status = excluded.status",
                (pipeline, name, cohort, int(online), version, seen, status),
            )

    def pin(self, tx: Transaction, pipeline: str, name: str, *, pinned: bool) -> None:
        query = "UPDATE devices SET pinned = ? WHERE pipeline = ? AND device = ?"
        tx.execute(query, (int(pinned), pipeline, name))

    def forget_device(self, pipeline: str, name: str) -> None:
        """Its row; what it sent and said stays until retention takes it."""
        with self._store.write() as tx:
            tx.execute("DELETE FROM devices WHERE pipeline = ? AND device = ?", (pipeline, name))

    def devices(self, pipeline: str) -> list[Device]:
        return self._devices("pipeline = ? ORDER BY device", pipeline)

    def device(self, pipeline: str, name: str) -> Device | None:
        return next(iter(self._devices("pipeline = ? AND device = ?", pipeline, name)), None)

    def _devices(self, which: str, *values: str) -> list[Device]:
        query = f"SELECT device, cohort, online, version, seen, pinned FROM devices WHERE {which}"  # noqa: S608  ours
        rows = self._store.read(query, *values)
        return [Device(d, c, bool(o), v, s, None if p is None else bool(p)) for d, c, o, v, s, p in rows]

    def add_event(
        self, pipeline: str, device: str, event: str, version: int, stream: int, report: str
    ) -> None:
        with self._store.write() as tx:
            tx.execute(
                "INSERT INTO events (at, pipeline, device, event, version, stream, report)"
                " VALUES (?,?,?,?,?,?,?)",
                (wall(), pipeline, device, event, version, stream, report),
            )

    def events_since(self, pipeline: str, at: int) -> list[tuple[str, str, Report]]:
        """(device, event, report) that came at this wall time or later, oldest first."""
        rows = self._store.read(
            "SELECT device, event, report FROM events WHERE pipeline = ? AND at >= ? ORDER BY at, id",
            pipeline,
            at,
        )
        return [(device, event, json.loads(report)) for device, event, report in rows]

    def events(self, pipeline: str) -> list[tuple[int, str, str, int, int, Report]]:
        """(wall time, device, event, version, device's time, report), oldest first."""
        rows = self._store.read(
            "SELECT at, device, event, version, stream, report FROM events WHERE pipeline = ? ORDER BY id",
            pipeline,
        )
        return [(*row[:-1], json.loads(row[-1])) for row in rows]

    # --- commands ---------------------------------------------------------------------------

    def command(self, who: str, kind: str, pipeline: str, **arguments: Any) -> int:
        """Ask for something; returns the number under which the outcome will stand."""
        with self._store.write() as tx:
            added = tx.execute(
                "INSERT INTO commands (at, who, kind, pipeline, arguments, state, outcome)"
                " VALUES (?,?,?,?,?,'open','') RETURNING id",
                (wall(), who, kind, pipeline, json.dumps(arguments)),
            ).fetchone()
        return int(added[0])

    def open_commands(self, *kinds: str) -> list[Command]:
        rows = self._store.read(
            "SELECT id, kind, pipeline, arguments FROM commands WHERE state = 'open' ORDER BY id"
        )
        return [Command(i, k, p, json.loads(a)) for i, k, p, a in rows if k in kinds]

    def outcome(self, command: int) -> tuple[str, str]:
        """State (open, done, failed) and outcome."""
        rows = self._store.read("SELECT state, outcome FROM commands WHERE id = ?", command)
        return (rows[0][0], rows[0][1]) if rows else ("failed", "no such command")

    def close_command(self, command: int, state: str, outcome: str) -> None:
        with self._store.write() as tx:
            tx.execute(
                "UPDATE commands SET state = ?, outcome = ?, ended = ? WHERE id = ?",
                (state, outcome, wall(), command),
            )
