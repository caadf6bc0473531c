"""PostgreSQL: one connection a process, which comes back when the server does."""

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.string import StrDumperUnknown

from iot_stream.address import without_password
from iot_stream.errors import StoreError
from iot_stream.store.base import Cursor, Database, Transaction
from iot_stream.store.migrations import pending
from iot_stream.store.postgres_schema import parting, translated

PATIENCE_S = 10.0  # a server that restarts is waited for so long
RETRY_S = 0.1
# A server, or a network, that has gone silent is noticed; the URL may say otherwise.
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
SESSION = [
    "SET lock_timeout = '30s'",
    # One writer at a time: one whose machine has vanished must not hold up all others for long.
    "SET idle_in_transaction_session_timeout = '60s'",
    # What is acknowledged to the broker is on the disk, whatever the server's default.
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'",
]
LEADERS = 0x696F74  # the advisory locks of those who lead, beside the number of what
WRITERS = 0x696F74  # the advisory lock of those who write; any number that nobody else in the database takes
SAMPLE_PAGES = 1000
ROW_BYTES = 100  # of a row's header and its entries in indexes, about


class Postgres(Database):
    def __init__(self, url: str) -> None:
        """Opens or makes the store in the database at `url`; raises StoreError."""
        super().__init__()
        self.place = without_password(url)
        self._url = url
        self._lock = threading.RLock()
        self._writing = self._leading = False
        with self._lock, self._told("; is the server running, is there such a user and database?"):
            self._connection = self._connected()
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _connected(self) -> psycopg.Connection[Any]:
        settings = CONNECTION | conninfo_to_dict(self._url)
        connection = psycopg.connect(autocommit=True, **settings)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise StoreError(f"store {self.place}: its encoding is {encoding}; make a database with UTF8")
        connection.adapters.register_dumper(str, _Text)
        for statement in SESSION:
            connection.execute(statement)
        return connection

    def _migrate(self) -> None:
        with self.write() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
            have = int(self.one("SELECT coalesce(max(version), 0) FROM schema_version"))
            for number, statements in pending(have, self.place):
                for statement in statements:
                    tx.execute(translated(statement))
                tx.execute("INSERT INTO schema_version VALUES (?)", (number,))
            extensions = {row[0] for row in self.read("SELECT extname FROM pg_extension")}
            for statement in parting(new=have == 0, extensions=extensions):
                tx.execute(statement)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._lock, self._told():
            self._ask("BEGIN")
            connection, self._writing = self._connection, True
            try:
                # Ids are given when rows are written, and seen when they are committed: of two writers at
                # once the slower may hold the lower ids, and who reads on from the last id would miss them.
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
                yield _Transaction(connection)
                self._commit(connection)
            except BaseException:
                self._forget()
                if not connection.closed:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._writing = False

    def _commit(self, connection: psycopg.Connection[Any]) -> None:
        # Where a statement has failed and nobody minded, PostgreSQL rolls back without an error.
        if connection.execute("COMMIT").statusmessage != "COMMIT":
            raise StoreError(f"store {self.place}: a statement had failed, nothing is written")

    def read(self, query: str, *arguments: Any) -> list[Any]:
        with self._lock, self._told():
            return self._ask(_placed(query), arguments).fetchall()

    def _ask(self, query: str, arguments: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """Outside of a transaction it may be asked once more, of the server that is there then."""
        try:
            return self._connection.execute(query, arguments)
        except psycopg.OperationalError:
            if self._writing or not self._connection.closed:
                raise
            self._leading = False  # the lock went with the connection
            self._connection = self._connected_again()
            return self._connection.execute(query, arguments)

    def _connected_again(self) -> psycopg.Connection[Any]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._connected()
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(RETRY_S)

    @contextmanager
    def _told(self, remedy: str = "") -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise StoreError(f"store {self.place}: {first}{remedy}") from error

    def leads(self, work: str) -> bool:
        if not self._leading or self._connection.closed:
            lock = int.from_bytes(hashlib.sha256(work.encode()).digest()[:4])
            self._leading = bool(self.one("SELECT pg_try_advisory_lock(?, ?)", LEADERS, lock - 2**31))
        return self._leading

    def number_on(self, tx: Transaction, table: str) -> None:
        following = f"(SELECT coalesce(max(id), 0) + 1 FROM {table})"  # noqa: S608  a name of ours
        tx.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {following}, false)")

    def used(self) -> int:
        """What the rows take, reckoned from a sample of each table's pages.

        The size of the files would not do: it stays when rows go, and a store that is full would be
        emptied to the last row. The same pages each time, so that the figure moves only when rows do.
        """
        tables = self.read(
            "SELECT oid::regclass::text,"
            " string_agg(format('coalesce(pg_column_size(%I), 0)', attname), ' + ')"
            " FROM pg_class JOIN pg_attribute ON attrelid = oid WHERE attnum > 0 AND NOT attisdropped"
            " AND relkind = 'r' AND relnamespace = current_schema()::regnamespace"
            " AND has_table_privilege(oid, 'SELECT') GROUP BY oid"
        )
        return sum(self._used(table, width) for table, width in tables)

    def _used(self, table: str, width: str) -> int:
        pages = int(
            self.one(  # of TimescaleDB's tables, what is parted off counts
                "SELECT sum(pg_relation_size(part)) / current_setting('block_size')::int FROM"
                " (SELECT ?::regclass UNION ALL SELECT inhrelid FROM pg_inherits"
                " WHERE inhparent = ?::regclass) AS parts (part)",
                table,
                table,
            )
        )
        share = min(1.0, SAMPLE_PAGES / max(pages, 1))
        sampled = self.one(
            f"SELECT coalesce(sum({width} + {ROW_BYTES}), 0)"  # noqa: S608  names from the database's schema
            f" FROM {table} TABLESAMPLE SYSTEM ({share * 100}) REPEATABLE (1)"
        )
        return int(float(sampled) / share)

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class _Transaction:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, query: str, arguments: Sequence[Any] = (), /) -> Cursor:
        return self._connection.execute(_placed(query), arguments)

    def executemany(self, query: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        cursor = self._connection.cursor()
        cursor.executemany(_placed(query), rows)
        return cursor


class _Text(StrDumperUnknown):
    """PostgreSQL's texts hold no NUL, and what devices send may: one such message must not stop the rest."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd"))


def _placed(query: str) -> str:
    """`?` as psycopg writes it."""
    return query.replace("%", "%%").replace("?", "%s")
