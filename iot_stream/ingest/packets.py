"""MQTT packets, as far as a client needs them that receives at QoS 0 and 1 and publishes at QoS 0.

MQTT 5.0 (OASIS, 2019) and, with `version` 4, MQTT 3.1.1; section numbers are those of MQTT 5.0.
"""

from collections.abc import Iterable, Sequence

import msgspec

MQTT5, MQTT311 = 5, 4

CONNACK, PUBLISH, SUBACK, PINGRESP, DISCONNECT = 0x20, 0x30, 0x90, 0xD0, 0xE0
PINGREQ = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
PUBACK = b"\x40\x02"  # and the number of the message

# 2.2.2.2: what follows the identifier of a property, of those that CONNACK may carry.
_BYTES = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}
_TEXTS = {0x12: 1, 0x15: 1, 0x16: 1, 0x1A: 1, 0x1C: 1, 0x1F: 1, 0x26: 2}
SERVER_KEEP_ALIVE = 0x13

# 3.2.2.2, 3.9.3 and 3.14.2.1, those that a person can do something about.
REASONS = {
    0x80: "unspecified error",
    0x82: "protocol error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8D: "keep alive timeout",
    0x8E: "session taken over; does another one run under the same name?",
    0x8F: "topic filter invalid",
    0x93: "more messages at once than was agreed",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x9E: "shared subscriptions not supported",
    0xA2: "wildcard subscriptions not supported",
}
# MQTT 3.1.1, 3.2.2.3: its return codes, as reasons of MQTT 5.
_REASON_OF_311 = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


class ProtocolError(Exception):
    """What came is no MQTT."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message; `mid` is its number as it came, two bytes, none at QoS 0; `connection` counts the
    connections of a client."""

    topic: str
    payload: bytes
    mid: bytes
    connection: int


class Connack(msgspec.Struct, frozen=True):
    """`reason` as MQTT 5 numbers them, 0 for yes; `keep_alive` in s, 0 where the broker leaves it to us."""

    reason: int
    keep_alive: int = 0


def reason_text(reason: int) -> str:
    return REASONS.get(reason, f"reason {reason:#04x}")


def connect(
    client_id: str,
    version: int,
    *,
    keep_alive: int,
    session_s: int,
    receive_maximum: int,
    max_packet: int,
    user: str = "",
    password: str = "",
    will: tuple[str, bytes] | None = None,
) -> bytes:
    """CONNECT that takes up the client's session, with a retained will at QoS 1 (3.1)."""
    five = version == MQTT5
    flags = (0x80 if user else 0) | (0x40 if password else 0) | (0x2C if will else 0)
    properties = b""
    if five:
        properties = _sized(
            b"\x11" + session_s.to_bytes(4)
            + b"\x21" + receive_maximum.to_bytes(2)
            + b"\x27" + max_packet.to_bytes(4)
        )  # fmt: skip
    payload = [_text(client_id)]
    if will:
        payload += [b"\0" if five else b"", _text(will[0]), _long(will[1])]
    payload += [_text(user)] if user else []
    payload += [_text(password)] if password else []
    head = _text("MQTT") + bytes([version, flags]) + keep_alive.to_bytes(2)
    return b"\x10" + _sized(head + properties + b"".join(payload))


def subscribe(mid: int, patterns: Iterable[str], version: int) -> bytes:
    """SUBSCRIBE at QoS 1 (3.8)."""
    asked = b"".join(_text(pattern) + b"\x01" for pattern in patterns)
    return b"\x82" + _sized(mid.to_bytes(2) + (b"\0" if version == MQTT5 else b"") + asked)


def publish(topic: str, payload: bytes, version: int, *, retain: bool = False, mid: int = 0) -> bytes:
    """PUBLISH, at QoS 1 with a `mid` (3.3)."""
    number = mid.to_bytes(2) if mid else b""
    head = _text(topic) + number + (b"\0" if version == MQTT5 else b"")
    return bytes([PUBLISH | (2 if mid else 0) | retain]) + _sized(head + payload)


def pubacks(mids: Sequence[bytes | bytearray]) -> bytes:
    """PUBACK of each, with success (3.4)."""
    return PUBACK.join((b"", *mids))


def connack(body: bytes, version: int) -> Connack:
    """Raises ProtocolError (3.2)."""
    if len(body) < 2:
        raise ProtocolError("CONNACK of less than two bytes")
    if version != MQTT5 or body[1] in _REASON_OF_311:
        return Connack(_REASON_OF_311.get(body[1], body[1]))
    return Connack(body[1], int.from_bytes(_properties(body[2:]).get(SERVER_KEEP_ALIVE, b"\0")))


def refused(body: bytes, version: int) -> list[int]:
    """Reasons of a SUBACK that are no consent (3.9)."""
    skip = 2
    if version == MQTT5:
        size, skip = length_at(body, 2, len(body))
        skip += size
    return [code for code in body[skip:] if code >= 0x80]


def length_at(packet: bytes | memoryview, place: int, end: int) -> tuple[int, int]:
    """A variable byte integer (1.5.5) and the place after it; (-1, place) where it is not all there yet.

    Raises ProtocolError for more than four bytes.
    """
    value = 0
    for shift in (0, 7, 14, 21):
        if place >= end:
            return -1, place
        byte = packet[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ProtocolError("a length of more than four bytes")


def _properties(data: bytes) -> dict[int, bytes]:
    size, place = length_at(data, 0, len(data))
    end = place + size
    found = {}
    while 0 <= place < min(end, len(data)):
        kind = data[place]
        place += 1
        if kind in _BYTES:
            length = _BYTES[kind]
        elif kind in _TEXTS:
            length = 0
            for _ in range(_TEXTS[kind]):
                length += 2 + int.from_bytes(data[place + length : place + length + 2])
        else:
            raise ProtocolError(f"unknown property {kind:#04x}")
        found[kind] = data[place : place + length]
        place += length
    return found


def _sized(body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + body


def _long(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _text(text: str) -> bytes:
    return _long(text.encode())
