"""A table of named things that grows by decorator: architectures, losses."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Generic, TypeVar

from iot_stream.errors import ModelError

Thing = TypeVar("Thing")


class Registry(Generic[Thing]):
    """Names to things of one kind; an unknown name is a ModelError that says the nearest one."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, Thing] = {}

    def register(self, name: str) -> Callable[[Thing], Thing]:
        def add(thing: Thing) -> Thing:
            if name in self._things:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._things[name] = thing
            return thing

        return add

    def get(self, name: str) -> Thing:
        if name not in self._things:
            raise ModelError(unknown(self.kind, name, self.names()))
        return self._things[name]

    def names(self) -> list[str]:
        return sorted(self._things)


def unknown(kind: str, name: str, valid: list[str]) -> str:
    """The message for an unknown name: the nearest valid one first, then all."""
    close = get_close_matches(name, valid, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no {kind} {name!r}; {hint}there are: {', '.join(valid) or 'none'}"
