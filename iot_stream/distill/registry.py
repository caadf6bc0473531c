"""A table of named things that grows by decorator: architectures, losses."""

from collections.abc import Callable
from typing import Generic, TypeVar

from iot_stream.errors import ModelError, nearest

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
            raise ModelError(f"no {self.kind} {name!r}; {nearest(name, self.names())}")
        return self._things[name]

    def names(self) -> list[str]:
        return sorted(self._things)
