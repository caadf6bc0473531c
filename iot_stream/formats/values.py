"""Numbers as dialects write them: as such, as text, or as a word for a state."""

from collections.abc import Mapping

import numpy as np

from iot_stream.errors import DataError

LARGEST = 3.4e38  # of float32
MOST_NAMED = 20  # words in an error message
STATES = {
    "on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0, "open": 1.0, "closed": 0.0, "yes": 1.0, "no": 0.0,
    "detected": 1.0, "clear": 0.0, "home": 1.0, "not_home": 0.0,
}  # fmt: skip
UNKNOWN = frozenset(("", "unavailable", "unknown", "none", "null", "nan", "n/a"))


def number(value: object, words: Mapping[str, float] = {}) -> float:
    """What a value counts as; NaN where it says that it is not known.

    Text may be a number, one of `words` (as written, or in small letters), or, in any case of letters, a
    state (on, off, open, closed, …: 1 or 0). Raises DataError("wrong_type").
    """
    if words and isinstance(value, int):
        value = str(value).lower()  # true, or 3, may be among them
    if isinstance(value, int | float):
        return float(value) if abs(value) < LARGEST else np.nan
    if value is None:
        return np.nan
    if isinstance(value, str):
        if value in words:
            return float(words[value])
        text = value.strip().lower()
        if text in words:
            return float(words[text])
        if text in UNKNOWN:
            return np.nan
        if text in STATES:
            return STATES[text]
        try:
            return number(float(text))
        except ValueError:
            pass
    if words:
        known = ", ".join(list(words)[:MOST_NAMED]) + (", …" if len(words) > MOST_NAMED else "")
        raise DataError("wrong_type", f"{shown(value)} is none of {known}, and no number; see `values`")
    raise DataError("wrong_type", f"{shown(value)} is no number, and no state that is known; see `values`")


def shown(value: object) -> str:
    """A value in an error message: never long, never deep."""
    if isinstance(value, str | float | bool | None):
        return repr(value)[:60]
    return str(value) if isinstance(value, int) and abs(value) < 2**64 else f"a {type(value).__name__}"
