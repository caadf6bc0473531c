"""When the simulated world changes, as its scenario has it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from iot_stream.clock import SECOND, wall
from iot_stream.store import Store
from simulator import scenario


class LiveWorld:
    """`words` are said at each of the `moments` (seconds after the first reading has come)."""

    def __init__(
        self, store: Store, name: str, moments: Iterable[float], words: str, say: Callable[[str], None]
    ) -> None:
        self._store, self._name, self._words, self._say = store, name, words, say
        self._moments = sorted(moments)
        self._began = 0

    def look(self) -> None:
        """To be called again and again. Raises StoreError."""
        if not self._moments:
            return
        if not self._began:
            self._began = self._store.journal.now(self._name) and wall()
        elif wall() >= self._began + self._moments[0] * SECOND:
            self._moments.pop(0)
            self._say(f"WORLD    {self._words}")


def moments(path: Path) -> list[float]:
    """Of the changes in a scenario. Raises ConfigError."""
    return sorted({int(change.at) / SECOND for change in scenario.read(path, {}).schedule})
