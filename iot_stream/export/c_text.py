"""Python's values as C99 writes them: exact, and whatever a name holds, harmless."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

WIDE = 8  # values in a line
PLAIN = re.compile(rb"[\w .:/-]")


def double(value: float) -> str:
    """Hexadecimal, so that no digit is lost."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return float(value).hex()


def single(value: float) -> str:
    with np.errstate(over="ignore"):
        exact = double(float(np.float32(value)))
    return exact if exact.endswith(("N", "Y")) else f"{exact}f"


def string(text: str) -> str:
    """A literal; all but plain letters, digits and a few signs as octal."""
    letters = (bytes([byte]) for byte in text.encode())
    return '"' + "".join(each.decode() if PLAIN.match(each) else f"\\{each[0]:03o}" for each in letters) + '"'


def comment(text: str) -> str:
    """What may stand in a comment."""
    return re.sub(r"[^\w .:-]", "_", text)


def array(declaration: str, values: Sequence[str]) -> str:
    """`const declaration = {…};`; an empty one gets a zero that nobody reads: C has no empty arrays."""
    rows = (", ".join(values[at : at + WIDE]) for at in range(0, len(values), WIDE))
    return f"const {declaration} = {{\n    " + (",\n    ".join(rows) or "0") + "};\n"


def table(declaration: str, rows: Iterable[str]) -> str:
    """An array of structs."""
    return f"const {declaration} = {{\n    " + (",\n    ".join(rows) or "{0}") + "};\n"


def defines(values: dict[str, int | str]) -> str:
    return "".join(f"#define IOT_{name} {value}\n" for name, value in values.items())
