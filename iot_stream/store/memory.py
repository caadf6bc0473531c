"""What the collector remembers over a restart: conversations with devices, and where its cutters are."""

from iot_stream.store.base import Database, Transaction


class Memory:
    def __init__(self, store: Database) -> None:
        self._store = store

    def conversation(self, pipeline: str, source: int) -> bytes | None:
        query = "SELECT snapshot FROM conversations WHERE pipeline = ? AND source = ?"
        found: bytes | None = self._store.one(query, pipeline, source)
        return found

    def save_conversation(self, tx: Transaction, pipeline: str, source: int, snapshot: bytes) -> None:
        tx.execute(
            "INSERT INTO conversations VALUES (?,?,?)"
            " ON CONFLICT (pipeline, source) DO UPDATE SET snapshot = excluded.snapshot",
            (pipeline, source, snapshot),
        )

    def position(self, pipeline: str, cut: str) -> int:
        return (
            self._store.one("SELECT journal FROM positions WHERE pipeline = ? AND cut = ?", pipeline, cut)
            or 0
        )

    def cutter_states(self, pipeline: str, cut: str) -> dict[str, bytes]:
        return dict(
            self._store.read(
                "SELECT device, state FROM cutters WHERE pipeline = ? AND cut = ?", pipeline, cut
            )
        )

    def save_cutters(
        self, tx: Transaction, pipeline: str, cut: str, position: int, states: dict[str, bytes]
    ) -> None:
        tx.execute(
            "INSERT INTO positions VALUES (?,?,?)"
            " ON CONFLICT (pipeline, cut) DO UPDATE SET journal = excluded.journal",
            (pipeline, cut, position),
        )
        tx.executemany(
            "INSERT INTO cutters VALUES (?,?,?,?)"
            " ON CONFLICT (pipeline, cut, device) DO UPDATE SET state = excluded.state",
            [(pipeline, cut, device, state) for device, state in states.items()],
        )
