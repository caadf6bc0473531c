"""On a link that costs: windows cut as the service would, and a sample of them for it."""

import zlib
from typing import NamedTuple

import numpy as np

from iot_stream.device.predicting import Said
from iot_stream.device.uploading import Seen, Selection
from iot_stream.errors import ConfigError
from iot_stream.readings import Times, Values
from iot_stream.upload import DeviceUpload
from iot_stream.windows import Windower


class _Cutting(NamedTuple):
    windower: Windower
    columns: list[int]


class Sampler:
    """`channels`: what each reading holds, in order."""

    def __init__(self, settings: DeviceUpload, channels: tuple[str, ...], device: str) -> None:
        wanted = {*settings.readings, *(name for cut in settings.cuts for name in cut.channels)}
        if missing := sorted(wanted - {*channels}):
            raise ConfigError(f"upload: this device has no {', '.join(missing)}; see `channels`")
        self._settings = settings
        self._cuts = [
            _Cutting(Windower(cut), [channels.index(name) for name in cut.channels]) for cut in settings.cuts
        ]
        self._beside: dict[int, tuple[tuple[str, int, Values], ...]] = {}  # by when they start
        self._readings = [channels.index(name) for name in settings.readings]
        self._selection = Selection(settings, zlib.crc32(device.encode()))
        self._newest = self._version = 0

    def feed(self, times: Times, values: Values, said: Said | None) -> bytes | None:
        """Readings (n ≥ 1,) ns, (n, channels), and what the model made of the windows that they complete; the
        message that is due, if any."""
        first, *others = [
            windower.push(times, np.ascontiguousarray(values[:, columns], np.float32))
            for windower, columns in self._cuts
        ]
        for cut, windows in zip(self._settings.cuts[1:], others, strict=True):
            for start, end, x in zip(windows.starts.tolist(), windows.ends.tolist(), windows.x, strict=True):
                self._beside[start] = (*self._beside.get(start, ()), (cut.id, end, x))
        words = {end: (klass, p) for end, klass, p in said.windows} if said else {}
        rows = np.searchsorted(times, first.ends).clip(0, len(times) - 1)
        readings = values[rows][:, self._readings].tolist()
        self._selection.add(
            Seen(start, end, x, self._beside.pop(start, ()), tuple(reading), *words.get(end, ("", 0.0)))
            for start, end, x, reading in zip(
                first.starts.tolist(), first.ends.tolist(), first.x, readings, strict=True
            )
        )
        if len(first):  # what the teacher's cut has alone
            self._beside = {start: found for start, found in self._beside.items() if start > first.starts[-1]}
        self._newest, self._version = int(times[-1]), said.version if said else self._version
        return self._choose() if self._selection.due(self._newest) else None

    def affords(self, size: int, now: int) -> bool:
        """Whether a prediction of so many bytes may go up now (ns, by the readings); then they are spent."""
        return self._selection.affords(size, now)

    def rest(self) -> bytes | None:
        """What has not gone up yet, where the device stops."""
        return self._choose()

    def _choose(self) -> bytes | None:
        return self._selection.choose(self._newest, self._version)
