"""The ledger: what the broker acknowledged, and nothing else."""

from pathlib import Path

import pytest

from iot_stream.errors import BrokerError
from simulator.ledger import BlockRecord, Bookkeeper, DriftRecord, Ledger


class Handle:
    def __init__(self, published: bool) -> None:
        self.published = published

    def is_published(self) -> bool:
        return self.published


def record(seq: int, device: str = "d") -> BlockRecord:
    return BlockRecord(device, 0, "boot", seq, 2, 10, 20, 1)


def test_a_block_counts_when_any_of_its_copies_is_acknowledged() -> None:
    book = Bookkeeper(5)
    book.sent(record(2), [Handle(True)])
    book.sent(record(0), [Handle(False), Handle(True)])
    book.sent(record(4), [Handle(False)])
    book.sent(record(6), [])
    ledger = book.close(9, patience_s=0)
    assert ledger.blocks == [record(0), record(2)]
    assert (ledger.unacknowledged, ledger.started, ledger.ended) == (2, 5, 9)


def test_what_is_acknowledged_late_counts_too() -> None:
    book = Bookkeeper(0)
    late = Handle(False)
    book.sent(record(-1), [late])
    for seq in range(5000):
        book.sent(record(seq), [Handle(True)])
    assert len(book.blocks) > 3000  # settled on the way, so that memory is bounded
    late.published = True
    assert len(book.close(0).blocks) == 5001


def test_a_broker_that_acknowledges_nothing_is_an_error() -> None:
    book = Bookkeeper(0)
    book.sent(record(0), [Handle(False)])
    with pytest.raises(BrokerError, match="acknowledged nothing"):
        book.close(1, patience_s=0)


def test_an_idle_fleet_is_none() -> None:
    assert Bookkeeper(0).close(1).blocks == []


def test_a_ledger_survives_its_file(tmp_path: Path) -> None:
    book = Bookkeeper(5, bytes_up=7, bytes_down={"d": 3})
    book.sent(record(0), [Handle(True)])
    book.drifts.append(DriftRecord("d", "heavy", 1, 2))
    ledger = book.close(9)
    ledger.write(tmp_path / "deep" / "ledger.json")
    assert Ledger.read(tmp_path / "deep" / "ledger.json") == ledger
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ledger.json"]
