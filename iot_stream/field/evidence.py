"""What is known of a version in the field: predictions beside labels and the teacher's word, and reports."""

from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from iot_stream import labelling
from iot_stream.artifact.stages import share
from iot_stream.field.health import Evidence, Group, Period
from iot_stream.readings import Label
from iot_stream.store import Store
from iot_stream.store.registry import Version
from iot_stream.store.rollouts import Rollout

DEVICES, WINDOWS = 100, 200
"""Looked at of each group, and of each device in each period: a verdict needs no more."""
EVER = 2**62


def gather(
    store: Store,
    pipeline: str,
    version: Version,
    rollout: Rollout,
    stage: Sequence[str],
    control: Sequence[str],
) -> Evidence:
    """Of the devices in the stage and of those that are not."""
    events = store.registry.events_since(pipeline, rollout.since)
    left = {
        device
        for device, event, report in events
        if (event == "rejected" and report.get("offered") == version.version)
        or (event == "rolled_back" and report.get("previous") == version.version)
    }
    took = [device for device in stage if device not in left]
    return Evidence(
        _group(store, pipeline, version, rollout, took, events, True),
        _group(store, pipeline, version, rollout, control, events, False),
        len(left.intersection(stage)),
    )


def _group(
    store: Store,
    pipeline: str,
    version: Version,
    rollout: Rollout,
    devices: Sequence[str],
    events: Sequence[tuple[str, str, Any]],
    has_it: bool,
) -> Group:
    since, before = Period(), Period()
    looked_at = sorted(devices, key=lambda device: share(device, version.version))[:DEVICES]
    model = f"teacher:{store.registry.teacher(pipeline)[:16]}"
    for device in looked_at:
        spoken = partial(store.journal.said_beside, pipeline, device, model)
        now = [
            r for r in spoken(rollout.stream_since, EVER, WINDOWS) if not has_it or r[1] == version.version
        ]
        ago = [r for r in spoken(0, rollout.stream_since, WINDOWS) if r[1] != version.version]
        labels = store.journal.labels_of(pipeline, device)
        since, before = _with(since, device, now, labels), _with(before, device, ago, labels)
    chosen = set(looked_at)
    times_us = [
        report["infer_us"]
        for device, event, report in events
        if event == "health" and device in chosen and report.get("infer_us")
        and (not has_it or report.get("version") == version.version)
    ]  # fmt: skip
    return Group(len(devices), since, before, median(times_us) if times_us else 0.0)


def _with(
    period: Period, device: str, rows: list[tuple[int, int, int, float, bytes | None]], labels: list[Label]
) -> Period:
    if not rows:
        return period
    times = np.array([row[0] for row in rows], np.int64)
    known, _ = labelling.join(np.full(len(rows), device), times, times, labels)
    truth = np.where(known == labelling.NO_LABEL, [_class(row[4]) for row in rows], known)
    right = truth == [row[2] for row in rows]
    return Period(
        period.windows + len(rows),
        period.judged + int((truth >= 0).sum()),
        period.right + int(right.sum()),
        period.certainty + sum(row[3] for row in rows),
    )


def _class(logits: bytes | None) -> int:
    """What a teacher that spoke makes of a window; NaN where it had nothing to say."""
    values = np.frombuffer(logits or b"", np.float32)
    return int(values.argmax()) if len(values) and not np.isnan(values).any() else labelling.NO_LABEL
