"""SQLite in WAL mode: one connection a process, short transactions, other processes are waited for."""

import fcntl
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from iot_stream.errors import StoreError
from iot_stream.store.migrations import STEPS

BUSY_MS = 30_000


class Database:
    def __init__(self, folder: Path) -> None:
        """Opens or makes the store in `folder`; raises StoreError."""
        self.path = folder / "iot-stream.db"
        self._lock = threading.RLock()
        self._rolled_back: list[Callable[[], None]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
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
            raise StoreError(f"store {self.path}: {error}; is the folder writable, the disk full?") from error

    def _migrate(self) -> None:
        with self.write():
            have = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            if have > len(STEPS):
                raise StoreError(
                    f"store {self.path} is from a newer iot-stream (schema {have}); update this one"
                )
            for number, step in enumerate(STEPS[have:], have + 1):
                for statement in step.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Raises StoreError if the store cannot take it."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                for forget in self._rolled_back:
                    forget()
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"store {self.path}: {error}") from error
                raise

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Whoever remembers what transactions wrote is told that one of them did not."""
        self._rolled_back.append(forget)

    def read(self, query: str, *arguments: Any) -> list[Any]:
        """All rows of a query; raises StoreError."""
        with self._lock:
            try:
                return self._connection.execute(query, arguments).fetchall()
            except sqlite3.Error as error:
                raise StoreError(f"store {self.path}: {error}") from error

    def one(self, query: str, *arguments: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.read(query, *arguments)
        return rows[0][0] if rows else None

    def used(self) -> int:
        """Bytes in use; the file may be larger, for what is deleted leaves room in it that is used again."""
        pages, free, size = (
            int(self.one(f"PRAGMA {name}")) for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def close(self) -> None:
        with self._lock:
            self._connection.close()
