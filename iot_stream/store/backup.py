"""The registry in one file, and back: models, rounds, releases, devices, decisions; not readings and windows.

The file is an SQLite store with those tables alone, whichever engine keeps the store itself.
"""

import tempfile
from pathlib import Path

from iot_stream.errors import StoreError
from iot_stream.store.base import Database, Transaction
from iot_stream.store.sqlite import FILE, SQLite

# Artifacts last: whatever the others name is there by then, though the service goes on meanwhile.
TABLES = (
    "versions", "rounds", "releases", "rollouts", "decisions", "devices", "events", "commands",
    "exclusions", "replacements", "holds", "tags", "cohorts", "models", "artifacts",
)  # fmt: skip
NUMBERED = ("decisions", "events", "commands", "exclusions", "holds", "cohorts")
"""Tables whose rows get their ids from the engine."""

ROWS = 500  # copied at a time


def save(store: Database, path: Path) -> dict[str, int]:
    """Writes the registry to a new file; returns table → rows. Raises StoreError, then there is no file."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as scratch:
        copy = SQLite(Path(scratch))
        try:
            with copy.write() as tx:
                counts = {table: _copy(store, tx, table) for table in TABLES}
            copy.read("PRAGMA journal_mode = DELETE")  # all of it in the one file
        finally:
            copy.close()
        (Path(scratch) / FILE).rename(path)
    return counts


def restore(path: Path, store: Database) -> dict[str, int]:
    """Puts the registry of a file into a store that has none; returns table → rows.

    Raises StoreError if the store has versions already, or the file is no backup.
    """
    if store.one("SELECT count(*) FROM versions") or store.one("SELECT count(*) FROM rounds"):
        raise StoreError(f"store {store.place} has a registry already; restore into an empty one")
    with tempfile.TemporaryDirectory(prefix="iot-stream-") as scratch:
        (Path(scratch) / FILE).write_bytes(path.read_bytes())
        backup = SQLite(Path(scratch))
        try:
            with store.write() as tx:
                for table in TABLES:
                    tx.execute(f"DELETE FROM {table}")  # noqa: S608  names of ours
                counts = {table: _copy(backup, tx, table) for table in TABLES}
                for table in NUMBERED:
                    store.number_on(tx, table)
        finally:
            backup.close()
    return counts


def _copy(source: Database, tx: Transaction, table: str) -> int:
    first = source.read(f"SELECT * FROM {table} LIMIT 1")  # noqa: S608  names of ours
    if not first:
        return 0
    columns = len(first[0])
    # The key is among the first four columns. Rows that come meanwhile shift others, which then come twice.
    order = ",".join(map(str, range(1, min(columns, 4) + 1)))
    select = f"SELECT * FROM {table} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608
    insert = f"INSERT INTO {table} VALUES ({','.join('?' * columns)}) ON CONFLICT DO NOTHING"  # noqa: S608
    count = 0
    while rows := source.read(select, ROWS, count):
        tx.executemany(insert, map(tuple, rows))
        count += len(rows)
    return count
