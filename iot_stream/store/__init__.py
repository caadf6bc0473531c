"""The store: what must outlive every process. Parts meet here and on the broker, nowhere else."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from iot_stream.errors import ConfigError
from iot_stream.store.base import Database, Transaction
from iot_stream.store.cohorts import Cohorts
from iot_stream.store.faults import Faults
from iot_stream.store.journal import Journal
from iot_stream.store.memory import Memory
from iot_stream.store.registry import Registry
from iot_stream.store.scope import Scope
from iot_stream.store.sqlite import SQLite

__all__ = ["Store", "Transaction"]


class Store(Database):
    """`journal`: readings, windows, labels, predictions; `faults`: what was wrong with them; `memory`: the
    collector's; `registry`: models, rounds, releases, devices; `scope`: what may be learnt from; `cohorts`:
    who shares a student."""

    def __init__(self, place: Path | str) -> None:
        """Opens or makes the store: SQLite in a folder, PostgreSQL at a URL; raises StoreError."""
        self._database = SQLite(place) if isinstance(place, Path) else _postgres(place)
        self.place = self._database.place
        self.journal = Journal(self._database)
        self.faults = Faults(self._database)
        self.memory = Memory(self._database)
        self.registry = Registry(self._database)
        self.scope = Scope(self._database)
        self.cohorts = Cohorts(self._database)

    def write(self) -> AbstractContextManager[Transaction]:
        return self._database.write()

    def on_rollback(self, forget: Callable[[], None]) -> None:
        self._database.on_rollback(forget)

    def read(self, query: str, *arguments: Any) -> list[Any]:
        return self._database.read(query, *arguments)

    def leads(self, work: str) -> bool:
        return self._database.leads(work)

    def used(self) -> int:
        return self._database.used()

    def close(self) -> None:
        self._database.close()


def _postgres(url: str) -> Database:
    try:
        from iot_stream.store.postgres import Postgres
    except ImportError as error:
        raise ConfigError("store: PostgreSQL needs psycopg: pip install 'iot-stream[postgres]'") from error
    return Postgres(url)
