"""One device's readings in order of time, with what is known about each."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.readings import Times, Values

RECORDING_EPOCH = 1_420_070_400 * SECOND  # 2015-01-01, for recordings without a time column

DAY = 86_400 * SECOND


@dataclass(frozen=True)
class Recording:
    """One device's readings: `times` (n,) ns, `values` (n, channels), `labels` (n,), −1 where none.

    `fields` are true of the whole recording, `columns` (n,) of each reading.
    """

    device: str
    channels: tuple[str, ...]
    times: Times
    values: Values
    labels: NDArray[np.int64]
    fields: dict[str, str]
    columns: dict[str, NDArray[np.str_]] = field(default_factory=dict)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Recording":
        return replace(
            self,
            times=self.times[keep],
            values=self.values[keep],
            labels=self.labels[keep],
            columns={name: texts[keep] for name, texts in self.columns.items()},
        )

    def texts(self, name: str) -> NDArray[np.str_]:
        """A column, or a field repeated, of each reading (n,); empty texts where there is neither."""
        if name in self.columns:
            return self.columns[name]
        return np.full(len(self.times), self.fields.get(name, ""))

    def segments(self, by: str) -> NDArray[np.str_]:
        """The name of each reading's segment (n,): its day (UTC), a column or a field; "" for `by` ""."""
        if by == "day":
            return np.datetime_as_string((self.times // DAY).astype("datetime64[D]"))
        return self.texts(by)
