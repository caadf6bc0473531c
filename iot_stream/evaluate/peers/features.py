"""What a peer sees of a window: what the device sees, laid out for models that know no time."""

from collections.abc import Callable

import numpy as np

from iot_stream.evaluate.peers.peer import Rows
from iot_stream.readings import Values
from iot_stream.spec import Spec

SHORTEST = 16
"""Readings; fewer have no spectrum to speak of."""

Form = Callable[[Values], Rows]


def values(scaled: Values) -> Rows:
    """Every reading (n, length · channels)."""
    return scaled.reshape(len(scaled), -1).astype(np.float64)


def spectrum(scaled: Values) -> Rows:
    """log(1 + amplitude) of each frequency of each channel (n, (length // 2 + 1) · channels): a vibration's
    phase is chance, and to models of single inputs it would be noise."""
    amplitudes = np.abs(np.fft.rfft(scaled.astype(np.float64), axis=1))
    return np.log1p(amplitudes).reshape(len(scaled), -1)


FORMS: dict[str, Form] = {"values": values, "spectrum": spectrum}


def forms(spec: Spec) -> tuple[str, ...]:
    """Those worth trying on windows of this length."""
    return tuple(FORMS) if spec.cut.length >= SHORTEST else ("values",)


def seen(spec: Spec, form: str, windows: Values) -> Rows:
    """Raw student windows (n, length, inputs) in the student's normalisation, in this form (n, features)."""
    return FORMS[form](spec.model_input(windows))
