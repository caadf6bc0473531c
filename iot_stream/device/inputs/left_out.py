"""What could not be read is counted, and said now and then: a broken sensor must not fill the log."""

import logging
from collections import Counter

log = logging.getLogger(__name__)


class LeftOut:
    """`what`: of which input."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, detail: str) -> None:
        """Said of the first of a kind, the tenth, the hundredth and so on."""
        self.counts[kind] += 1
        count = self.counts[kind]
        if count == 10 ** (len(str(count)) - 1):
            many = f" ({count} of this kind so far)" if count > 1 else ""
            log.warning("%s: left out: %s: %s%s", self._what, kind, detail[:300], many)
