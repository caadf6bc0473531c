"""Whether the teacher is held, and what a person has cleared it of."""

import json
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import msgspec

from iot_stream.store.base import Database

CLEAR = "clear_teacher"
"""The command; its argument `until` is the pipeline's time (ns) when it was given."""

PIECE = 3  # rounds that are read at once
JUDGED = ("released", "rejected", "held")  # outcomes of rounds that looked at the teacher


class Clearing(NamedTuple):
    """Windows that end by `until` (ns on the pipeline's clock) no longer speak against the teacher."""

    until: int
    who: str


class Doubt(NamedTuple):
    """Why a cohort's rounds hold the teacher; `since`: the start of the first of them (ns, as `until`)."""

    cohort: str
    since: int
    reason: str


class _Trust(msgspec.Struct, frozen=True):
    doubt: str = ""


class _Report(msgspec.Struct, frozen=True):
    """What is asked of a round's report."""

    trust: _Trust = _Trust()


class Doubts:
    def __init__(self, store: Database) -> None:
        self._store = store

    def cleared(self, pipeline: str) -> Clearing | None:
        """The last time that the distiller took a person's word for the teacher; None if it never did."""
        rows = self._store.read(
            "SELECT arguments, who FROM commands WHERE kind = ? AND pipeline = ? AND state = 'done'"
            " ORDER BY id DESC LIMIT 1",
            CLEAR,
            pipeline,
        )
        if not rows:
            return None
        arguments, who = rows[0]
        return Clearing(int(json.loads(arguments)["until"]), who)

    def standing(self, pipeline: str) -> list[Doubt]:
        """Of each cohort whose newest round holds the teacher, and began after the last clearing."""
        clearing = self.cleared(pipeline)
        after = clearing.until if clearing else -1
        query = "SELECT cohort FROM rounds WHERE pipeline = ? GROUP BY cohort ORDER BY min(started)"
        standing = (self._of(pipeline, cohort, after) for (cohort,) in self._store.read(query, pipeline))
        return [doubt for doubt in standing if doubt]

    def _of(self, pipeline: str, cohort: str, after: int) -> Doubt | None:
        """From the newest round back to the first that holds the teacher: most often there is none."""
        found: Doubt | None = None
        for started, report in self._judged(pipeline, cohort):
            doubt = msgspec.json.decode(report, type=_Report).trust.doubt
            if not doubt or started <= after:
                break
            found = Doubt(cohort, started, found.reason if found else doubt)
        return found

    def _judged(self, pipeline: str, cohort: str) -> Iterator[tuple[int, str]]:
        """(stream_started, report) of rounds that looked at the teacher, the newest first."""
        for begin in count(0, PIECE):
            rows = self._store.read(
                "SELECT stream_started, report FROM rounds WHERE pipeline = ? AND cohort = ?"
                " AND outcome IN (?,?,?) ORDER BY started DESC, id DESC LIMIT ? OFFSET ?",
                pipeline, cohort, *JUDGED, PIECE, begin,
            )  # fmt: skip
            yield from rows
            if len(rows) < PIECE:
                return
