"""Which labels of a stream are ever known, and when: some of them, late, as in life."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Recordings
from iot_stream.readings import Label, Times
from iot_stream.recordings.recording import Recording


class Known(NamedTuple):
    """From the stream time `at` (ns) on somebody knows the label."""

    at: int
    label: Label


def messages(recording: Recording, most: int) -> Iterator[slice]:
    """Rows of each message: at most so many, and of one class."""
    changes = np.flatnonzero(np.diff(recording.labels)) + 1
    for first, last in zip([0, *changes.tolist()], [*changes.tolist(), len(recording.times)], strict=True):
        for begin in range(first, last, most):
            yield slice(begin, min(begin + most, last))


def late_labels(stream: list[Recording], settings: Recordings, seed: int) -> list[Known]:
    """Labels of the stream's messages that become known, in order of the moment when they do."""
    plan = settings.labels
    if not plan.fraction:
        return []
    known = []
    for device in dict.fromkeys(recording.device for recording in stream):
        own = [recording for recording in stream if recording.device == device]
        own.sort(key=lambda recording: int(recording.times[0]))
        times = np.concatenate([recording.times for recording in own])
        ends = _segment_ends(own, settings.segments)
        rng = random.Random(f"{seed}/{device}/labels")
        start = 0
        for recording in own:
            for rows in messages(recording, settings.readings):
                value, last = int(recording.labels[rows.start]), start + rows.stop - 1
                if value < 0 or rng.random() >= plan.fraction:
                    continue
                at = int(times[last]) + int(plan.delay)
                if plan.delay.readings:
                    if last + plan.delay.readings >= len(times):
                        continue  # the stream is over before
                    at = int(times[last + plan.delay.readings])
                elif plan.delay.segment:
                    at = int(times[ends[last]])
                first = int(recording.times[rows.start])
                known.append(Known(at, Label(device, first, int(times[last]), value)))
            start += len(recording.times)
    return sorted(known, key=lambda each: (each.at, each.label.end, each.label.device))


def _segment_ends(own: list[Recording], by: str) -> Times:
    """For each reading of a device the row of the last one of its segment."""
    names: NDArray[np.str_] = np.concatenate([recording.segments(by) for recording in own])
    lasts = np.append(np.flatnonzero(names[1:] != names[:-1]), len(names) - 1)
    return lasts[np.searchsorted(lasts, np.arange(len(names)))]
