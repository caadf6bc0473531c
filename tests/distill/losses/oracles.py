"""Each loss written down from its paper's formula, row by row, with none of our code and no torch."""

import math

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


def softmax(row: Rows) -> Rows:
    raised = np.exp(row - row.max())
    return raised / raised.sum()


def kl(p: Rows, q: Rows) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a > 0)


def kd(student: Rows, teacher: Rows, T: float) -> float:
    rows = zip(student, teacher, strict=True)
    return T**2 * np.mean([kl(softmax(t / T), softmax(s / T)) for s, t in rows])


def right_class(student: Rows, teacher: Rows, right: NDArray[np.int64], T: float) -> float:
    found = []
    for s, t, k in zip(student, teacher, right, strict=True):
        p, q = softmax(t / T), softmax(s / T)
        found.append(kl(*(np.array([each[k], np.delete(each, k).sum()]) for each in (p, q))))
    return T**2 * np.mean(found)


def other_classes(student: Rows, teacher: Rows, right: NDArray[np.int64], T: float) -> float:
    found = []
    for s, t, k in zip(student, teacher, right, strict=True):
        found.append(kl(softmax(np.delete(t, k) / T), softmax(np.delete(s, k) / T)))
    return T**2 * np.mean(found)


def correlation(a: Rows, b: Rows) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def between_classes(student: Rows, teacher: Rows, T: float) -> float:
    rows = zip(student, teacher, strict=True)
    return T**2 * np.mean([1 - correlation(softmax(s / T), softmax(t / T)) for s, t in rows])


def within_classes(student: Rows, teacher: Rows, T: float) -> float:
    q, p = (np.array([softmax(row / T) for row in rows]) for rows in (student, teacher))
    return T**2 * np.mean([1 - correlation(q[:, k], p[:, k]) for k in range(q.shape[1])])


def standardised(student: Rows, teacher: Rows, T: float) -> float:
    def z(rows: Rows) -> Rows:
        return np.array([(row - row.mean()) / row.std() for row in rows])

    return kd(z(student), z(teacher), T)


def logit_mse(student: Rows, teacher: Rows, T: float) -> float:
    return np.mean([0.5 * np.linalg.norm(s - t) ** 2 for s, t in zip(student, teacher, strict=True)])


def binary(student: Rows, teacher: Rows, T: float) -> float:
    found = []
    for s, t in zip(student, teacher, strict=True):
        # 1 − σ(x) = σ(−x), without the rounding of the difference
        answers = [np.stack([1 / (1 + np.exp(-x / T)), 1 / (1 + np.exp(x / T))], axis=1) for x in (t, s)]
        found.append(sum(kl(p, q) for p, q in zip(*answers, strict=True)))
    return T**2 * np.mean(found)


def hints(mapped: Rows, teacher: Rows) -> float:
    return 0.5 * np.mean([(a - b) ** 2 for a, b in zip(mapped.ravel(), teacher.ravel(), strict=True)])
