"""Where a long training stands, kept now and then: after a crash it goes on as if there had been none."""

import io
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

EVERY_S = 20.0


class Keeper(Protocol):
    """Where one training's state outlives the process."""

    def load(self) -> bytes | None: ...

    def save(self, content: bytes) -> None: ...


class Checkpoints:
    """Of one training, at most every `every_s` seconds."""

    def __init__(
        self, keeper: Keeper, every_s: float = EVERY_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._keeper, self._every_s, self._monotonic = keeper, every_s, monotonic
        self._next = monotonic() + every_s

    def load(self) -> dict[str, Any] | None:
        """As it was saved last; None for a training that begins."""
        content = self._keeper.load()
        if content is None:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return state

    @property
    def due(self) -> bool:
        return self._monotonic() >= self._next

    def save(self, state: dict[str, Any]) -> None:
        """Tensors, numbers, and lists and dictionaries of them."""
        content = io.BytesIO()
        torch.save(state, content)
        self._keeper.save(content.getvalue())
        self._next = self._monotonic() + self._every_s
