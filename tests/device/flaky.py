"""A disk that forgets what was not synced: the files of a process are what they are, until the power goes.

Kept beside the real files is what is surely on the disk: a file's content at its last sync, a directory's
entries at its last sync. At the cut, each change since then has reached the disk or not, as chance will
have it: an entry is there or not, a file has its old content, its new one, a part of it, or zeros.
"""

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_open = os.open  # not the one that is counted
TOUCHING = ("fsync", "replace", "unlink", "mkdir", "open")


class PowerCut(BaseException):
    """Not an Exception, so that nothing in the code under test can survive it."""


class FlakyDisk:
    """Of one directory tree, all of which is on the disk when this is made."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self._root, self._rng = root, rng
        self._contents: dict[int, bytes] = {}  # inode → what is surely there
        self._entries: dict[Path, dict[str, int]] = {}
        self._held: list[int] = []  # so that no inode is used twice
        for folder, _, names in os.walk(root):
            self._entries[Path(folder)] = _inodes(Path(folder))
            for name in names:
                path = Path(folder) / name
                self._contents[path.stat().st_ino] = path.read_bytes()
                self._hold(path)
        self._entries.setdefault(root.parent, _inodes(root.parent))

    def run(self, action: Callable[[], None], cut_at: int, patch: pytest.MonkeyPatch) -> bool:
        """Whether the action came to its end before its `cut_at`-th touch of the disk."""
        calls = 0

        def touching(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                if not self._ours(arguments[0]):
                    return real(*arguments, **options)
                calls += 1
                if calls == cut_at:
                    raise PowerCut
                if name in ("replace", "unlink"):
                    self._hold(Path(arguments[-1]))
                result = real(*arguments, **options)
                if name == "fsync":
                    self._synced(arguments[0])
                return result

            return call

        with patch.context() as patched:
            for name in TOUCHING:
                patched.setattr(os, name, touching(name, getattr(os, name)))
            try:
                action()
            except PowerCut:
                return False
            return True

    def lose_power(self) -> None:
        """The tree becomes what the disk has."""
        now = {Path(folder): _inodes(Path(folder)) for folder, _, _ in os.walk(self._root)}
        current = {
            inode: (folder / name).read_bytes()
            for folder, entries in now.items()
            for name, inode in entries.items()
            if (folder / name).is_file()
        }
        after: dict[Path, bytes] = {}
        for folder, entries in now.items():
            before = self._entries.get(folder, {})
            for name in sorted({*before, *entries}):
                inode = self._either(before.get(name), entries.get(name))
                if inode is not None and (inode in current or inode in self._contents):
                    after[folder / name] = self._content(inode, current.get(inode))
        for path in [path for path in self._root.rglob("*") if path.is_file()]:
            path.unlink()
        for path, content in after.items():
            path.write_bytes(content)
        for descriptor in self._held:
            os.close(descriptor)

    def _either(self, before: int | None, now: int | None) -> int | None:
        return before if before == now else self._rng.choice((before, now))

    def _content(self, inode: int, now: bytes | None) -> bytes:
        sure = self._contents.get(inode)
        if now is None or now == sure:
            return sure if sure is not None else b""
        torn = now[: self._rng.randrange(len(now) + 1)]
        return self._rng.choice((sure if sure is not None else b"", now, torn, bytes(len(now))))

    def _ours(self, place: Any) -> bool:
        path = Path(f"/proc/self/fd/{place}").resolve() if isinstance(place, int) else Path(place)
        return path.is_relative_to(self._root)

    def _synced(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._entries[path] = _inodes(path)
        else:
            self._contents[status.st_ino] = path.read_bytes()

    def _hold(self, path: Path) -> None:
        if path.is_file():
            self._held.append(_open(path, os.O_RDONLY))


def _inodes(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}
