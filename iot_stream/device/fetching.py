"""Blobs on their way: which pieces a device asks the broker for, a few at a time."""

from collections.abc import Callable, Iterable, Mapping

from iot_stream import topics
from iot_stream.artifact.pieces import Piece

AT_ONCE = 16
"""Pieces asked for at a time: so many may come twice over a reconnection, or wait in the broker's queue."""


class Fetching:
    """Subscribes to just the blobs that are lacking; `subscribe` and `unsubscribe` take a topic."""

    def __init__(
        self,
        levels: Mapping[str, str],
        subscribe: Callable[[str], None],
        unsubscribe: Callable[[str], None],
    ) -> None:
        self._levels, self._subscribe, self._unsubscribe = levels, subscribe, unsubscribe
        self._waiting: dict[str, Piece] = {}  # topic → what it will bring; the first few are subscribed to
        self._asked: dict[str, Piece] = {}

    def want(self, pieces: Iterable[Piece]) -> None:
        """These, and no others any more."""
        self._waiting = {
            topics.BLOB.of(**self._levels, sha256=piece.artifact, n=str(piece.n)): piece for piece in pieces
        }
        self._ask()

    def piece(self, topic: str) -> Piece | None:
        """What a message on this topic should be, if it is waited for."""
        return self._waiting.get(topic)

    def came(self, topic: str) -> bool:
        """It has come; whether it was the last."""
        self._waiting.pop(topic, None)
        self._ask()
        return not self._waiting

    def _ask(self) -> None:
        wanted = dict(list(self._waiting.items())[:AT_ONCE])
        for topic in self._asked.keys() - wanted.keys():
            self._unsubscribe(topic)
        for topic, piece in wanted.items():
            # Also where other content is expected now: the broker then sends what it retains once more.
            if self._asked.get(topic) != piece:
                self._subscribe(topic)
        self._asked = wanted
