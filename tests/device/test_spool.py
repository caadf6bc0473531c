"""Messages on disk: in order, in bounded space, and whatever happens to the files never anything else."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.device.spool import FILES, Spool, records
from tests.device.flaky import FlakyDisk

LIMIT = 64_000


def drained(spool: Spool) -> list[bytes]:
    found = []
    while record := spool.next():
        found.append(record[1])
    return found


def written(folder: Path, count: int, limit: int = LIMIT) -> list[bytes]:
    spool = Spool(folder, limit)
    made = [b"%04d " % i + b"x" * 100 for i in range(count)]
    for record in made:
        spool.append(record)
    spool.close()
    return made


def test_nothing_is_on_disk_before_there_is_something_to_keep(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "outbox", LIMIT)
    assert not spool.waiting
    assert spool.next() is None
    spool.forget(float("inf"))
    assert list(tmp_path.iterdir()) == []


def test_first_in_is_first_out_also_while_more_comes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    for record in (b"1", b"2", b"3"):
        spool.append(record)
    assert spool.next() == (1, b"1")
    spool.append(b"4")
    assert drained(spool) == [b"2", b"3", b"4"]
    assert not spool.waiting
    spool.append(b"")  # nothing is a record too
    assert spool.waiting
    assert drained(spool) == [b""]


def test_files_go_when_all_that_was_read_of_them_is_done_with(tmp_path: Path) -> None:
    made = written(tmp_path, 200)
    spool = Spool(tmp_path, LIMIT)
    files = sorted(int(path.stem) for path in tmp_path.iterdir())
    assert len(files) > 2
    number, _ = spool.next() or (0, b"")
    spool.forget(float("inf"))
    assert number == files[0]
    assert (tmp_path / f"{number}.log").exists(), "there is more in it"
    rest = drained(spool)
    assert rest == made[1:]
    spool.forget(files[2])
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == files[2:]
    spool.forget(float("inf"))
    assert list(tmp_path.iterdir()) == []
    assert spool.used == 0


def test_what_was_not_done_with_is_read_again_by_the_next_process(tmp_path: Path) -> None:
    made = written(tmp_path, 10)
    assert drained(Spool(tmp_path, LIMIT)) == made
    again = Spool(tmp_path, LIMIT)
    again.append(b"new")
    assert drained(again) == [*made, b"new"]


def test_the_oldest_go_when_it_is_full_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    made = [b"%05d" % i for i in range(10_000)]
    for record in made:
        spool.append(record)
        assert spool.used <= LIMIT
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == spool.used > LIMIT * (1 - 2 / FILES)
    found = drained(spool)
    assert found == made[spool.lost :]
    assert 0 < spool.lost < len(made)


def test_what_goes_while_it_is_read_is_counted_once(tmp_path: Path) -> None:
    made = written(tmp_path, 100)
    spool = Spool(tmp_path, LIMIT)
    taken = [(spool.next() or (0, b""))[1] for _ in range(3)]
    for i in range(1000):
        spool.append(b"%04d " % i + b"y" * 100)
    found = drained(spool)
    assert taken == made[:3]
    assert len(found) + len(taken) + spool.lost == 1100
    assert found == ([*made, *(b"%04d " % i + b"y" * 100 for i in range(1000))])[3 + spool.lost :]


def test_what_is_too_large_is_refused_and_the_rest_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    spool.append(b"small")
    with pytest.raises(ValueError, match="outbox"):
        spool.append(b"x" * LIMIT)
    large = b"x" * (LIMIT // 3)  # more than a file holds
    spool.append(large)
    assert drained(spool) == [b"small", large]


def test_what_counts_as_read_is_there_for_the_next_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    spool.append(b"in memory too")
    spool.pass_all()
    spool.append(b"on disk alone")
    assert drained(spool) == [b"on disk alone"]
    assert drained(Spool(tmp_path, LIMIT)) == [b"in memory too", b"on disk alone"]


def test_strange_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_bytes(b"mine")
    (tmp_path / "7.log").write_bytes(b"")
    spool = Spool(tmp_path, LIMIT)
    spool.append(b"1")
    assert drained(spool) == [b"1"]
    spool.forget(float("inf"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.log"]


@settings(max_examples=200)
@given(
    kept=st.lists(st.binary(max_size=40), max_size=12),
    cut=st.integers(0, 1000),
    flips=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 255)), max_size=5),
)
def test_a_damaged_file_gives_the_messages_before_the_damage_and_no_others(
    kept: list[bytes], cut: int, flips: list[tuple[int, int]]
) -> None:
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder), LIMIT)
        for record in kept:
            spool.append(record)
        spool.close()
        path = Path(folder) / "1.log"
        data = bytearray(path.read_bytes() if kept else b"")
        whole = len(data)
        del data[cut:]
        for place, bits in flips:
            if place < len(data):
                data[place] ^= bits
        if kept:
            path.write_bytes(data)
        again = Spool(Path(folder), LIMIT)
        again.append(b"after")
        found = drained(again)
        assert found[-1] == b"after"
        assert found[:-1] == kept[: len(found) - 1]
        if cut >= whole and not any(place < whole for place, _ in flips):
            assert found[:-1] == kept


def test_a_file_that_cannot_be_read_has_no_records(tmp_path: Path) -> None:
    assert list(records(tmp_path)) == []


class AppendingDisk(FlakyDisk):
    """What was synced stays as it is when more is written behind it: that alone is lost, torn, or zeros."""

    def _content(self, inode: int, now: bytes | None) -> bytes:
        sure = self._contents.get(inode, b"")
        more = (now or sure)[len(sure) :]
        torn = more[: self._rng.randrange(len(more) + 1)]
        return sure + self._rng.choice((b"", more, torn, bytes(len(more))))


class Sending:
    """Keeps 300 messages, syncs now and then, and sends the first of them."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder, LIMIT)
        self.made = [b"%04d " % i + b"x" * 100 for i in range(300)]
        self.begun = self.safe = self.done_with = 0

    def run(self) -> None:
        for i, record in enumerate(self.made):
            self.begun = i + 1
            self.spool.append(record)
            if i % 40 == 30:
                self.spool.sync()
                self.safe = i + 1
            if i == 200:
                for _ in range(120):
                    self.spool.next()
                self.done_with = 120
                self.spool.forget(float("inf"))


@pytest.mark.parametrize("chance", range(5))
def test_the_power_goes_and_what_was_synced_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: int
) -> None:
    cut_at, ended = 0, False
    while not ended:
        cut_at += 1
        folder = tmp_path / str(cut_at)
        folder.mkdir()
        disk = AppendingDisk(folder, random.Random(f"{chance} {cut_at}"))
        sending = Sending(folder / "state/outbox")
        ended = disk.run(sending.run, cut_at, monkeypatch)
        disk.lose_power()
        sending.spool.close()
        again = Spool(folder / "state/outbox", LIMIT)
        numbers = [sending.made.index(record) for record in drained(again)]
        assert numbers == sorted(set(numbers))
        assert set(range(sending.done_with, sending.safe)) <= set(numbers) <= set(range(sending.begun))
        again.append(b"after")
        assert drained(again) == [b"after"]
        again.close()
    assert cut_at > 15
