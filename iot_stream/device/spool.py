"""Messages on disk, first in, first out, in bounded space.

    outbox/
    └── 7.log    records one after the other: written once, read once, then removed

A record is its length, a hash, its bytes. A file ends at the first record that is not whole, or not what was
written (a power cut, worn flash): what follows in that file is given up, the next one goes on. A new process
begins a new file, so that nothing is ever written behind a torn record.
"""

import os
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from io import FileIO
from pathlib import Path

_HEAD = struct.Struct("<I8s")
FILE = 256 * 1024  # bytes of a file: as much as is lost at once when there is too much
FILES = 8  # at least, of which the oldest may go


class Spool:
    """Nothing is on the disk before the first `append`. `lost` counts records that were dropped unread,
    because there were more than `limit` bytes. Not for several threads at once."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._most = min(FILE, limit // FILES)
        self._sizes = {int(path.stem): path.stat().st_size for path in _files(folder)}  # oldest first
        self._last = max(self._sizes, default=0)
        self._reading = 0  # the file that `_unread` is of; those before it have been read
        self._unread: deque[bytes] = deque()
        self._file: FileIO | None = None  # the newest, while it is written
        self._unsynced = False
        self.lost = 0

    @property
    def used(self) -> int:
        """Bytes."""
        return sum(self._sizes.values())

    @property
    def waiting(self) -> bool:
        """Whether there is something that has not been read."""
        return bool(self._unread) or (bool(self._sizes) and self._last > self._reading)

    def append(self, record: bytes) -> int:
        """Returns the number of the file that it is in.

        After `sync` it outlives a power cut, before only the process. Raises OSError, ValueError for what
        is too large for the spool.
        """
        size = _HEAD.size + len(record)
        if size > self._limit // 2:
            raise ValueError(f"{len(record)} bytes, the outbox takes {self._limit}")
        if self._file is None or 0 < self._sizes[self._last] > self._most - size:
            self._begin()
        while self.used + size > self._limit:
            self._drop_oldest()
        assert self._file is not None
        written = self._file.write(_HEAD.pack(len(record), _hash(record)) + record)
        self._sizes[self._last] += written or 0
        self._unsynced = True
        if written != size:
            self.close()
            raise OSError("disk full")
        return self._last

    def next(self) -> tuple[int, bytes] | None:
        """The oldest record that has not been read, with the number of its file; None where all have."""
        while not self._unread:
            following = next((number for number in self._sizes if number > self._reading), None)
            if following is None:
                return None
            if following == self._last:
                self.close()
            self._reading = following
            self._unread.extend(records(self._path(following)))
        return self._reading, self._unread.popleft()

    def pass_all(self) -> None:
        """What has been appended counts as read; for who has it in memory."""
        self.close()
        self._unread.clear()
        self._reading = self._last

    def forget(self, before: float) -> None:
        """Files older than that of this number, if all in them was read, are done with."""
        for number in [each for each in self._sizes if each < before]:
            if number < self._reading or (number == self._reading and not self._unread):
                self._remove(number)

    def sync(self) -> None:
        """Raises OSError."""
        if self._unsynced and self._file is not None:
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self) -> None:
        """What comes next goes to a file of its own; those that there are stay."""
        if self._file is not None:
            with suppress(OSError):  # it can be read all the same, while there is power
                self.sync()
            self._file.close()
            self._file, self._unsynced = None, False

    def _begin(self) -> None:
        self.close()
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True)
            _sync(self._folder.parent.parent)
            _sync(self._folder.parent)
        self._file = self._path(self._last + 1).open("xb", buffering=0)
        self._last += 1
        self._sizes[self._last] = 0
        _sync(self._folder)

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._sizes))
        if oldest == self._reading:
            self.lost += len(self._unread)
            self._unread.clear()
        elif oldest > self._reading:
            self.lost += sum(1 for _ in records(self._path(oldest)))
        self._remove(oldest)

    def _remove(self, number: int) -> None:
        with suppress(OSError):  # it goes out once more after a restart, which does no harm
            self._path(number).unlink(missing_ok=True)
        del self._sizes[number]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.log"


def records(path: Path) -> Iterator[bytes]:
    """Those at the head of the file that are as they were written."""
    try:
        data = path.read_bytes()
    except OSError:
        return
    place = 0
    while place + _HEAD.size <= len(data):
        length, written = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        record = data[place : place + length]
        if len(record) != length or _hash(record) != written:
            return
        yield record
        place += length


def _sync(folder: Path) -> None:
    """The names in it outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("*.log") if path.stem.isdecimal()), key=lambda p: int(p.stem))


def _hash(record: bytes) -> bytes:
    return blake2b(record, digest_size=8).digest()
