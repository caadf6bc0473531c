"""scikit-learn's estimators as teachers: on few data as good as any network, and beside one they err
elsewhere, which is what an ensemble lives on.

scikit-learn is imported where a teacher is of it: that takes a second, which every start would pay.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.registry import Registry
from iot_stream.distill.teachers.member import KINDS, NO_COST, Lessons, State
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ModelError
from iot_stream.readings import Values
from iot_stream.spec import Spec

ESTIMATORS: Registry[Callable[..., Any]] = Registry("estimator")


@ESTIMATORS.register("svc")
def svc(C: float = 10.0) -> Any:
    """Support vectors, radial basis functions (Cortes & Vapnik 1995)."""
    from sklearn.svm import SVC

    return SVC(C=C, gamma="scale")


@ESTIMATORS.register("lda")
def lda() -> Any:
    """Gaussian classes of one covariance, shrunk (Ledoit & Wolf 2004)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


@dataclass(frozen=True)
class EstimatorMember:
    """Kept as the `lessons` that it was fitted on: a pickle would be a program, and a fit takes no time."""

    network: Network
    lessons: Lessons
    estimator: Any

    @classmethod
    def fitted(cls, network: Network, lessons: Lessons) -> tuple["EstimatorMember", Trained]:
        """Raises ModelError."""
        from sklearn.utils.validation import has_fit_parameter

        began, cpu_began = time.perf_counter(), time.process_time()
        try:
            estimator = ESTIMATORS.get(network.arch)(**dict(network.options))
            flat = lessons.x.reshape(len(lessons.x), -1)
            weighed = has_fit_parameter(estimator, "sample_weight")
            estimator.fit(flat, lessons.y, **({"sample_weight": lessons.counts} if weighed else {}))
        except (TypeError, ValueError) as error:
            raise ModelError(f"teacher {network.arch}: {error}") from error
        cost = Trained({}, 1, time.perf_counter() - began, time.process_time() - cpu_began)
        return cls(network, lessons, estimator), cost

    @classmethod
    def trained(
        cls,
        network: Network,
        _spec: Spec,
        lessons: Lessons,
        _settings: TrainSettings,
        _seed: int,
        _progress: Progress | None,
        _checkpoints: Checkpoints | None,
        /,
    ) -> tuple["EstimatorMember", Trained]:
        return cls.fitted(network, lessons)

    @classmethod
    def restored(cls, network: Network, _spec: Spec, state: State, _: Hardware, /) -> "EstimatorMember":
        return cls.fitted(network, Lessons(state["x"], state["y"], state["weights"]))[0]

    @property
    def parameters(self) -> int:
        """Numbers that it decides by."""
        names = ("support_vectors_", "dual_coef_", "coef_", "intercept_")
        return sum(int(np.size(getattr(self.estimator, name, ()))) for name in names)

    def logits(self, x: Values) -> Values:
        if not len(x):
            return np.zeros((0, len(self.estimator.classes_)), np.float32)
        decided = np.asarray(self.estimator.decision_function(x.reshape(len(x), -1)), np.float32)
        return decided if decided.ndim > 1 else np.stack([-decided, decided], axis=1) / np.float32(2)

    def tuned(
        self, fresh: Lessons, known: Lessons, _settings: TrainSettings, _seed: int, /
    ) -> tuple["EstimatorMember", Trained]:
        """Fitted anew on all lessons; late ones count as their age has it, no more for being few."""
        fresh, known = fresh.labelled, known.labelled
        if not len(fresh.y):
            return self, NO_COST
        return self.fitted(
            self.network,
            Lessons(
                np.concatenate([known.x, fresh.x]),
                np.concatenate([known.y, fresh.y]),
                np.concatenate([known.counts, fresh.counts]),
            ),
        )

    def state(self) -> State:
        return {"x": self.lessons.x, "y": self.lessons.y, "weights": self.lessons.counts}


for _name in ESTIMATORS.names():
    KINDS.register(_name)(EstimatorMember)
