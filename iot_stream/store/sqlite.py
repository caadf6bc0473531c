"""SQLite in WAL mode: one connection a process, short transactions, other processes are waited for."""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from iot_stream.errors import StoreError
from iot_stream.store.base import Database, Transaction
from iot_stream.store.migrations import pending

BUSY_MS = 30_000
FILE = "iot-stream.db"


class SQLite(Database):
    def __init__(self, folder: Path) -> None:
        """Opens or makes the store in `folder`; raises StoreError."""
        super().__init__()
        path = folder / FILE
        self.place = str(path)
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
            with (folder / "opening.lock").open("w") as one_at_a_time:
                # SQLite does not wait for the others where it turns to WAL; all parts start at once.
                fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
                self._connection.execute("PRAGMA journal_mode = WAL")
                # FULL: what is acknowledged to the broker is on the disk, also after a power cut.
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA wal_autocheckpoint = 2000")
                self._migrate()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"store {self.place}: {error}; is the folder writable, the disk full?"
            ) from error

    def _migrate(self) -> None:
        with self.write() as tx:
            have = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            for number, statements in pending(have, self.place):
                for statement in statements:
                    tx.execute(statement)
                tx.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                self._forget()
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"store {self.place}: {error}") from error
                raise

    def read(self, query: str, *arguments: Any) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(query, arguments).fetchall()
            except sqlite3.Error as error:
                raise StoreError(f"store {self.place}: {error}") from error

    def number_on(self, tx: Transaction, table: str) -> None:
        """Nothing to do: SQLite remembers the highest id by itself."""

    def used(self) -> int:
        pages, free, size = (
            int(self.one(f"PRAGMA {name}")) for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def leads(self, work: str) -> bool:  # noqa: ARG002
        """Always: a collector on one machine has no other beside it."""
        return True

    def close(self) -> None:
        with self._lock:
            self._connection.close()
