"""What models learn from: windows of both sides, joined, with the teacher's word and late labels."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Times, Values


@dataclass(frozen=True)
class Material:
    """n windows: `x` (n, length, inputs) raw student windows, `logits` (n, classes) of the teacher,
    `labels` (n,) with −1 where there is none or it changes inside."""

    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    x: Values
    logits: Values
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Material":
        return Material(*(getattr(self, field.name)[keep] for field in fields(self)))

    def and_then(self, other: "Material") -> "Material":
        return Material(
            *(
                np.concatenate([getattr(self, field.name), getattr(other, field.name)])
                for field in fields(self)
            )
        )

    @property
    def said(self) -> NDArray[np.int64]:
        """The class the teacher names."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)
