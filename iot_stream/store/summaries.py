"""What devices say in a word of the windows that they did not send."""

from typing import NamedTuple

import msgspec

from iot_stream.store.base import Database, Transaction
from iot_stream.upload import Rest


class Sent(NamedTuple):
    """Of a device: `windows` that it saw from `begin` to `end` (ns); `sent` of them came, in `bytes`."""

    device: str
    windows: int
    sent: int
    bytes: int
    begin: int
    end: int


class Summaries:
    def __init__(self, store: Database) -> None:
        self._store = store

    def add(self, tx: Transaction, pipeline: str, device: str, rest: Rest, size: int, arrived: int) -> bool:
        """`size` of its message in bytes; False for what was there already."""
        added = tx.execute(
            "INSERT INTO summaries VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (
                pipeline,
                device,
                rest.begin,
                rest.end,
                rest.windows,
                rest.sent,
                size,
                arrived,
                msgspec.json.encode(rest).decode(),
            ),
        )
        return added.rowcount > 0

    def totals(self, pipeline: str) -> list[Sent]:
        """Of each device that sends samples, in order of its name."""
        rows = self._store.read(
            'SELECT device, sum(windows), sum(sent), sum(size), min(begin), max("end") FROM summaries'
            " WHERE pipeline = ? GROUP BY device ORDER BY device",
            pipeline,
        )
        return [Sent(device, *map(int, numbers)) for device, *numbers in rows]

    def of(self, pipeline: str, device: str) -> list[Rest]:
        """In order of time."""
        rows = self._store.read(
            "SELECT report FROM summaries WHERE pipeline = ? AND device = ? ORDER BY begin", pipeline, device
        )
        return [msgspec.json.decode(row[0], type=Rest) for row in rows]

    def retain(self, tx: Transaction, pipeline: str, oldest: int) -> None:
        tx.execute("DELETE FROM summaries WHERE pipeline = ? AND arrived < ?", (pipeline, oldest))
