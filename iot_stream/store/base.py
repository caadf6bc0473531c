"""What every store does, whichever engine keeps it: transactions, rows, and how full it is.

SQL is one text for both engines, with `?` for what is given.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...


class Transaction(Protocol):
    """What `Database.write` gives: all of it is kept, or nothing."""

    def execute(self, query: str, arguments: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, query: str, rows: Iterable[Sequence[Any]], /) -> Cursor: ...


class Database(ABC):
    place: str
    """Where it is, for messages to people: without a password."""

    def __init__(self) -> None:
        self._rolled_back: list[Callable[[], None]] = []

    @abstractmethod
    def write(self) -> AbstractContextManager[Transaction]:
        """One transaction: all of it or nothing. Raises StoreError if the store cannot take it.

        Writers come one after the other, other processes' too: whoever reads on from the last id that
        was seen misses no row.
        """

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Whoever remembers what transactions wrote is told that one of them did not."""
        self._rolled_back.append(forget)

    def _forget(self) -> None:
        for forget in self._rolled_back:
            forget()

    @abstractmethod
    def read(self, query: str, *arguments: Any) -> list[Any]:
        """All rows of a query; raises StoreError."""

    def one(self, query: str, *arguments: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.read(query, *arguments)
        return rows[0][0] if rows else None

    @abstractmethod
    def number_on(self, tx: Transaction, table: str) -> None:
        """New rows get ids above those that were written with ids of their own."""

    @abstractmethod
    def leads(self, work: str) -> bool:
        """Whether this process, of all that have the store open, is to do what only one may do at a time.

        It stays so while the store is reached; when the process ends another one leads.
        """

    @abstractmethod
    def used(self) -> int:
        """Bytes in use; files may be larger, for what is deleted leaves room in them that is used again."""

    @abstractmethod
    def close(self) -> None: ...
