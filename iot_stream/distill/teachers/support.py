"""Support vectors, radial basis functions (Cortes & Vapnik 1995), fitted anew each round.

The kernel is computed here: a product of matrices takes a small part of the time that libsvm takes for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from iot_stream.distill.teachers.drift_model import Floats, probabilities
from iot_stream.distill.teachers.member import Lessons
from iot_stream.errors import ModelError


@dataclass(frozen=True)
class SupportVectors:
    """`x` (n, features): what it was fitted on."""

    x: Floats
    gamma: float
    machine: Any

    @classmethod
    def fitted(cls, lessons: Lessons, penalty: float) -> "SupportVectors":
        """On rows (n, features); `penalty` is C, the width is scikit-learn's `scale`. Raises ModelError."""
        from sklearn.svm import SVC  # a second, which a distiller of other teachers need not wait

        x = lessons.x.astype(np.float64)
        gamma = 1 / (x.shape[1] * (x.var() or 1.0))
        found = cls(x, gamma, SVC(C=penalty, kernel="precomputed"))
        try:
            found.machine.fit(found._kernel(x), lessons.y)
        except ValueError as error:
            raise ModelError(f"teacher drift: {error}") from error
        return found

    def probabilities(self, rows: Floats, classes: int) -> Floats:
        """(n, features) → (n, classes): softmax of its decisions; 0 of a class that it was never shown."""
        decided = np.asarray(self.machine.decision_function(self._kernel(rows)), np.float64)
        if decided.ndim == 1:
            decided = np.stack([-decided, decided], axis=1) / 2
        said = np.zeros((len(rows), classes))
        said[:, self.machine.classes_] = probabilities(decided)
        return said

    @property
    def parameters(self) -> int:
        """Numbers that it decides by."""
        return int(len(self.machine.support_) * self.x.shape[1] + self.machine.dual_coef_.size)

    def _kernel(self, rows: Floats) -> Floats:
        squares = (-2 * self.gamma * rows) @ self.x.T
        squares += self.gamma * (rows**2).sum(axis=1)[:, None]
        squares += self.gamma * (self.x**2).sum(axis=1)
        return np.asarray(np.exp(-squares), np.float64)
