"""Who died, and is there again: said of many at once, for a plant's nodes lose their broker together."""

from dataclasses import dataclass, field

NAMED = 3  # of those that are said together


@dataclass
class Deaths:
    _dead: set[str] = field(default_factory=set)  # and said so
    _new: dict[str, bool] = field(default_factory=dict)

    def add(self, died: dict[str, bool]) -> None:
        """Who died (True) or was born (False) last."""
        self._new |= died

    def said(self) -> list[str]:
        """What to say of all since the last time; nothing of who came back meanwhile."""
        died = [name for name, dead in self._new.items() if dead and name not in self._dead]
        back = [name for name, dead in self._new.items() if not dead and name in self._dead]
        self._new = {}
        self._dead = self._dead.union(died).difference(back)
        told = (f"died: {_several(died)}" if died else "", f"there again: {_several(back)}" if back else "")
        return [each for each in told if each]


def _several(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
