"""The wire format of Protocol Buffers, as much as an ONNX graph needs: fields out of bytes, nothing copied.

https://protobuf.dev/programming-guides/encoding. A device reads its graphs with this instead of the `onnx`
package, which is larger than all the rest of a device.
"""

from collections.abc import Iterator
from typing import NamedTuple

from iot_stream.errors import Refused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message: an int (VARINT), or the bytes of all other kinds."""

    number: int
    kind: int
    value: int | memoryview

    def integer(self) -> int:
        """As int64; raises Refused("incompatible")."""
        if not isinstance(self.value, int):
            raise broken(f"field {self.number} is no integer")
        return self.value - (1 << 64) if self.value >> 63 else self.value

    def integers(self) -> list[int]:
        """Of a repeated field, packed or not."""
        if isinstance(self.value, int):
            return [self.integer()]
        packed, at, found = self.message(), 0, []
        while at < len(packed):
            number, at = _varint(packed, at)
            found.append(Field(self.number, VARINT, number).integer())
        return found

    def message(self) -> memoryview:
        if self.kind != BYTES or isinstance(self.value, int):
            raise broken(f"field {self.number} holds no bytes")
        return self.value

    def text(self) -> str:
        try:
            return str(self.message(), "utf-8")
        except UnicodeDecodeError as error:
            raise broken(f"field {self.number} is no text") from error


def broken(what: str) -> Refused:
    return Refused("incompatible", f"the graph cannot be read: {what}")


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in order; raises Refused("incompatible") where the bytes are no message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise broken("field 0")
        if kind == VARINT:
            value, at = _varint(message, at)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise broken(f"wire type {kind}")
        if size > len(message) - at:
            raise broken("it ends early")
        yield Field(number, kind, message[at : at + size])
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number below 2⁶⁴ and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise broken("it ends early")
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >> 64:
                break
            return number, at
    raise broken("a number of more than 64 bits")
