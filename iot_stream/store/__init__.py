"""The store: what must outlive every process. Parts meet here and on the broker, nowhere else."""

from pathlib import Path

from iot_stream.store.database import Database
from iot_stream.store.journal import Journal
from iot_stream.store.registry import Registry
from iot_stream.store.scope import Scope

__all__ = ["Store"]


class Store(Database):
    """`journal`: readings, windows, labels, predictions; `registry`: models, rounds, releases,
    devices; `scope`: what may be learnt from."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes the store in `folder`; raises StoreError."""
        super().__init__(folder)
        self.journal = Journal(self)
        self.registry = Registry(self)
        self.scope = Scope(self)
