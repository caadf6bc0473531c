"""How much has come and was made in all, whatever retention has taken since."""

from iot_stream.store.base import Database, Transaction

BYTES = "bytes"  # of messages
SEEN = "seen"  # windows of devices that send a sample
WINDOWS = "windows "  # and the id of their cut


class Totals:
    def __init__(self, store: Database) -> None:
        self._store = store

    def add(self, tx: Transaction, pipeline: str, what: str, n: int) -> None:
        tx.execute(
            "INSERT INTO totals VALUES (?,?,?)"
            " ON CONFLICT (pipeline, what) DO UPDATE SET n = totals.n + excluded.n",
            (pipeline, what, n),
        )

    def of(self, pipeline: str) -> dict[str, int]:
        return dict(self._store.read("SELECT what, n FROM totals WHERE pipeline = ?", pipeline))
