"""Devices on links that cost: a sample of their windows is all that the service sees, and enough."""

from pathlib import Path

import pytest

from iot_stream.config import device_upload
from iot_stream.service.broker import Broker
from tests.service.running import NAME, fleet, opened, service, write_taught
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

UPLOAD = {"budget": "20 MB", "every": "1 s"}  # some 230 bytes a second


def test_rounds_learn_from_what_devices_choose(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = write_taught(tmp_path, broker.url, prefix, upload=UPLOAD)
    with opened(path) as (config, store), service(path, tmp_path / "service.log"):
        pipeline = config.pipelines[NAME]
        cut = pipeline.cut(pipeline.student)
        with fleet(path, tmp_path, "--devices", "3", "--seconds", "600"):
            wait_until(lambda: len(store.registry.versions(NAME)) > 1, "a round", 120)
        sent = store.summaries.totals(NAME)
        assert len(sent) == 3
        assert not store.journal.readings(NAME), "no reading goes up but in a window"
        assert device_upload(pipeline) is not None
        for each in sent:
            assert 0 < each.sent < each.windows
            seconds = (each.end - each.begin) / 1e9
            assert each.bytes <= 20e6 / 86_400 * (seconds + 1)
        stored = {device: count for _, device, count, _, _ in store.journal.window_stats(NAME)}
        assert stored == {each.device: each.sent for each in sent}
        windows = store.journal.windows(NAME, cut.id, (cut.length, len(cut.inputs)))
        said = {(each.device, each.time): each for each in store.journal.predictions(NAME)}
        judged = [said.get(key) for key in zip(windows.devices.tolist(), windows.ends.tolist(), strict=True)]
        first = {name: min(end for other, end in said if other == name) for name, _ in said}
        told = [
            word is not None
            for device, end, word in zip(windows.devices.tolist(), windows.ends.tolist(), judged, strict=True)
            if end >= first[device]
        ]
        assert told
        assert all(told), "what the student said of a window comes with it"
        assert not store.faults.counters(NAME)
