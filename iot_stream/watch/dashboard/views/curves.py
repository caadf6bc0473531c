"""How right everyone was, over time: the newest windows with what student, static and teacher said of them
and what was true, each read once, and read again only while somebody has yet to speak."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.readings import Label, Times
from iot_stream.store import Store
from iot_stream.store.overview import Told
from iot_stream.watch.promise import STATIC, STUDENT, TEACHER, named, rivals_of

MODELS = (STUDENT, STATIC, TEACHER)
AT_ONCE = 5_000  # windows that one look reads
LABELS_AT_ONCE = 10_000
AGAIN = 500  # windows of before that one look reads again
LABELS_HELD = 1_000  # of a device: those that windows yet to come may end under
NOTHING = labelling.NO_LABEL

Classes = NDArray[np.int8]


class Curves:
    """`ends` of windows in the order in which they were cut, `said` by each model, `truth`; −1: nothing.
    `most` windows are kept; where there are more a fifth of them, the oldest, is forgotten. `behind`: there
    are more than the last look could read."""

    def __init__(self, store: Store, pipeline: str, cut: str, most: int) -> None:
        self._store, self._pipeline, self._cut = store, pipeline, cut
        self._most = most
        self._rivals: tuple[str, str] | None = None
        self.behind = False
        self._begin()

    def _begin(self, oldest: int = 0, arrived: int = 0) -> None:
        """With windows beyond the `oldest`, which had `arrived`: labels of them came no sooner."""
        self._count, self._position = 0, oldest
        self._ids = np.zeros(self._most, np.int64)
        self._ends = np.zeros(self._most, np.int64)
        self._arrived = np.zeros(self._most, np.int64)
        self._devices = np.zeros(self._most, np.int32)
        self._p = np.zeros(self._most, np.float32)
        self._columns = {name: np.full(self._most, NOTHING, np.int8) for name in (*MODELS, "truth")}
        self._names: dict[str, int] = {}
        self._labels: dict[str, dict[tuple[int, int], Label]] = defaultdict(dict)
        self._labelled_until: dict[str, int] = {}
        self._heard = arrived  # when the newest label came
        self._heard_then: set[Label] = set()  # those that came at that very time
        self._asked = 0  # the row up to which windows were last read again

    @property
    def ends(self) -> Times:
        return self._ends[: self._count]

    @property
    def arrived(self) -> Times:
        """On the pipeline's clock, which no device can set wrong."""
        return self._arrived[: self._count]

    @property
    def devices(self) -> NDArray[np.int32]:
        """By number."""
        return self._devices[: self._count]

    @property
    def names(self) -> list[str]:
        """Of the devices."""
        return list(self._names)

    @property
    def p(self) -> NDArray[np.float32]:
        """The student's certainty; 0 where it said nothing."""
        return self._p[: self._count]

    @property
    def truth(self) -> Classes:
        return self._columns["truth"][: self._count]

    @property
    def said(self) -> dict[str, Classes]:
        return {name: self._columns[name][: self._count] for name in MODELS}

    def look(self) -> None:
        """Takes in what is new; raises StoreError."""
        rivals = rivals_of(self._store, self._pipeline)
        if rivals is None:
            return
        overview = self._store.overview
        if rivals != self._rivals:  # another teacher: what was held against the former one is no curve of it
            self._rivals = rivals
            self._begin(*overview.before_newest(self._pipeline, self._cut, self._most))
        told = overview.told(self._pipeline, self._cut, rivals, self._position, AT_ONCE)
        self.behind = len(told) == AT_ONCE
        self._read_again(rivals)
        self._append(told)
        self._hold(self._new_labels())

    def _append(self, told: list[Told]) -> None:
        if not told:
            return
        told = told[-self._most :]
        if (over := self._count + len(told) - self._most) > 0:
            self._forget(min(self._count, max(self._most // 5, over)))
        rows = slice(self._count, self._count + len(told))
        self._count += len(told)
        self._position = told[-1].id
        self._ids[rows] = [each.id for each in told]
        self._ends[rows] = [each.end for each in told]
        self._arrived[rows] = [each.arrived for each in told]
        self._devices[rows] = [self._names.setdefault(each.device, len(self._names)) for each in told]
        self._columns["truth"][rows] = NOTHING
        self._put(np.arange(rows.start, rows.stop), told)
        first: dict[str, int] = {}
        for each in told:
            first[each.device] = min(each.end, first.get(each.device, each.end))
        for device, end in first.items():
            if self._labelled_until.get(device, -1) >= end:  # as a rule labels come later than windows
                theirs = np.flatnonzero(self._devices[rows] == self._names[device])
                self._judge(device, rows.start + theirs)

    def _forget(self, count: int) -> None:
        columns: list[NDArray[Any]] = [self._ids, self._ends, self._arrived, self._devices, self._p]
        columns += self._columns.values()
        for column in columns:
            column[: self._count - count] = column[count : self._count].copy()
        self._count -= count
        self._asked = max(0, self._asked - count)

    def _put(self, rows: NDArray[np.int64], told: list[Told]) -> None:
        """What each model said of the windows in these rows."""
        self._columns[STUDENT][rows] = [NOTHING if each.student is None else each.student for each in told]
        self._p[rows] = [each.p or 0.0 for each in told]
        for model, said in ((STATIC, [t.first for t in told]), (TEACHER, [t.second for t in told])):
            there = [i for i, logits in enumerate(said) if logits is not None]
            self._columns[model][rows] = NOTHING
            self._columns[model][rows[there]] = named(logits for logits in said if logits is not None)

    def _read_again(self, rivals: tuple[str, str]) -> None:
        """Windows of which somebody had said nothing yet: from where the last look stopped, in turn."""
        silent = np.flatnonzero(np.any([said == NOTHING for said in self.said.values()], axis=0))
        if not len(silent):
            return
        later = silent[silent >= self._asked]
        begin = int(later[0] if len(later) else silent[0])
        count = min(AGAIN, int(silent[-1]) - begin + 1)
        told = self._store.overview.told(self._pipeline, self._cut, rivals, int(self._ids[begin]) - 1, count)
        # Retention may have taken some; what was read of those stands.
        ids = self._ids[begin : self._count]
        told = [each for each in told if each.id <= ids[-1]]
        self._put(begin + np.searchsorted(ids, [each.id for each in told]), told)
        self._asked = begin + count

    # --- labels, which come at any time --------------------------------------------------------------

    def _new_labels(self) -> list[Label]:
        """Those that came since the last look."""
        count = LABELS_AT_ONCE + len(self._heard_then)
        rows = self._store.overview.labels_since(self._pipeline, self._heard, count)
        if not rows:
            return []
        known, newest = self._heard_then, rows[-1][4]
        then = {Label(*row[:4]) for row in rows if row[4] == newest}
        self._heard_then = then | known if newest == self._heard else then
        self._heard = newest
        return [label for row in rows if (label := Label(*row[:4])) not in known]

    def _hold(self, labels: list[Label]) -> None:
        """New labels against the windows that are there."""
        news: dict[str, list[Label]] = defaultdict(list)
        for label in labels:
            news[label.device].append(label)
        order = np.argsort(self.devices, kind="stable") if news else np.zeros(0, np.int64)
        sorted_devices = self.devices[order]
        for device, new in news.items():
            held = self._labels[device]
            held.update({(label.start, label.end): label for label in new})
            until = max(label.end for label in new)
            self._labelled_until[device] = max(until, self._labelled_until.get(device, until))
            if (number := self._names.get(device)) is not None:
                low, high = np.searchsorted(sorted_devices, [number, number + 1])
                ends = self.ends[order[low:high]]
                begin, end = min(label.start for label in new), max(label.end for label in new)
                self._judge(device, order[low:high][(ends >= begin) & (ends <= end)])
            for key in list(held)[: max(0, len(held) - LABELS_HELD)]:
                del held[key]

    def _judge(self, device: str, rows: NDArray[np.int64]) -> None:
        """By the labels of the device that are held. What others said of before stands."""
        if not len(rows):
            return
        ends = self._ends[rows]
        begin, end = int(ends.min()), int(ends.max())
        labels = [each for each in self._labels[device].values() if each.end >= begin and each.start <= end]
        if not labels:
            return
        true, _ = labelling.join(np.full(len(rows), device), ends, ends, labels)
        known = true != NOTHING
        self._columns["truth"][rows[known]] = true[known]
