"""What models learn from: windows of both sides, joined, with the teacher's word and late labels."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Times, Values


@dataclass(frozen=True)
class Material:
    """n windows: `x` (n, length, inputs) raw student windows, `logits` (n, classes) of the teacher,
    `labels` (n,) with −1 where there is none or it changes inside; `teacher_x` (n, length, inputs) raw
    teacher windows of the same moments, where the teacher goes on learning; `features` (n, width) of the
    teacher's last hidden layer, where the loss asks for them."""

    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    x: Values
    logits: Values
    labels: NDArray[np.int64]
    teacher_x: Values | None = None
    features: Values | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Material":
        columns: list[Any] = [None if column is None else column[keep] for column in self._columns()]
        return Material(*columns)

    def and_then(self, other: "Material") -> "Material":
        columns: list[Any] = [
            None if mine is None or theirs is None else np.concatenate([mine, theirs])
            for mine, theirs in zip(self._columns(), other._columns(), strict=True)
        ]
        return Material(*columns)

    def _columns(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def said(self) -> NDArray[np.int64]:
        """The class the teacher names."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)
