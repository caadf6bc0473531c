"""The store: what must outlive every process. Parts meet here and on the broker, nowhere else."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from iot_stream.errors import ConfigError
from iot_stream.store.base import Database, Transaction
from iot_stream.store.cohorts import Cohorts
from iot_stream.store.doubts import Doubts
from iot_stream.store.faults import Faults
from iot_stream.store.inspection import Inspection
from iot_stream.store.journal import Journal
from iot_stream.store.memory import Memory
from iot_stream.store.overview import Overview
from iot_stream.store.registry import Registry
from iot_stream.store.rollouts import Rollouts
from iot_stream.store.scope import Scope
from iot_stream.store.sqlite import SQLite
from iot_stream.store.summaries import Summaries
from iot_stream.store.totals import Totals

__all__ = ["Store", "Transaction"]


class Store(Database):
    """`journal`: readings, windows, labels, predictions; `summaries`: what was not sent; `faults`: what was
    wrong; `totals`: how much there was; `memory`: the collector's; `registry`: models, rounds, releases,
    devices; `scope`: what may be learnt from; `doubts`: whether the teacher is held; `cohorts`: who shares a
    student; `rollouts`: how far versions have come, and who decided it; `overview`: what watchers ask;
    `inspection`: what a page asks of one thing."""

    def __init__(self, place: Path | str) -> None:
        """Opens or makes the store: SQLite in a folder, PostgreSQL at a URL; raises StoreError."""
        self._database = SQLite(place) if isinstance(place, Path) else _postgres(place)
        self.place = self._database.place
        self.journal = Journal(self._database)
        self.faults = Faults(self._database)
        self.totals = Totals(self._database)
        self.summaries = Summaries(self._database)
        self.memory = Memory(self._database)
        self.registry = Registry(self._database)
        self.scope = Scope(self._database)
        self.doubts = Doubts(self._database)
        self.cohorts = Cohorts(self._database)
        self.rollouts = Rollouts(self._database)
        self.overview = Overview(self._database)
        self.inspection = Inspection(self._database)

    def write(self) -> AbstractContextManager[Transaction]:
        return self._database.write()

    def on_rollback(self, forget: Callable[[], None]) -> None:
        self._database.on_rollback(forget)

    def read(self, query: str, *arguments: Any) -> list[Any]:
        return self._database.read(query, *arguments)

    def number_on(self, tx: Transaction, table: str) -> None:
        self._database.number_on(tx, table)

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
