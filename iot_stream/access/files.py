"""Files that appear whole, and are never readable by more than they should be."""

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes, mode: int) -> None:
    """All or nothing, and never readable by more than `mode` says. What is right already stays untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_bytes() == content:
        path.chmod(mode)
        return
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}-")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(content)
        file.flush()
        os.fsync(handle)
    Path(scratch).replace(path)


def write_private(path: Path, content: bytes) -> None:
    """For its owner alone."""
    write(path, content, 0o600)
