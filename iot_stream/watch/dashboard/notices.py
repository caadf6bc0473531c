"""What whoever looks is to know of the dashboard itself."""

from contextlib import suppress
from pathlib import Path


class Notices:
    """Of a part that goes on with the configuration as its file was when this was made."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, _content(path)

    @property
    def outdated(self) -> bool:
        return _content(self._path) not in (self._read, None)  # None: an editor is about to put it back

    def view(self) -> list[str]:
        told = f"{self._path.name} has changed since this dashboard was started: restart it, and the service."
        return [told] if self.outdated else []


def _content(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None
