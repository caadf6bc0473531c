"""Files that appear whole, and stay whose they are."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iot_stream.errors import ConfigError

PRIVATE = 0o600


def write(path: Path, content: bytes, mode: int) -> None:
    """All or nothing. `mode` is that of a new file; what is replaced leaves its owner, group and mode, so
    that a broker that runs as another user reads it as before. What is right already stays untouched.

    Raises ConfigError.
    """
    with _permitted(path):
        old = path.stat() if path.exists() else None
        if old is None or path.read_bytes() != content:
            _replace(path, content, mode, old)


def write_private(path: Path, content: bytes) -> None:
    """All or nothing, for who writes it alone, whoever could read what it replaces. Raises ConfigError."""
    with _permitted(path):
        _replace(path, content, PRIVATE, None)


def _replace(path: Path, content: bytes, mode: int, old: os.stat_result | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}-")
    try:
        with os.fdopen(handle, "wb") as file:
            if old:
                os.fchown(handle, old.st_uid, old.st_gid)
            os.fchmod(handle, stat.S_IMODE(old.st_mode) if old else mode)
            file.write(content)
            file.flush()
            os.fsync(handle)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink()
        raise


@contextmanager
def _permitted(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ConfigError(f"{path}: {error.strerror}; run this as its owner, or as root") from error
