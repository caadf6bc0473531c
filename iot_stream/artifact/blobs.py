"""Content addresses: a blob's name is the SHA-256 of its bytes, so that a name can never lie."""

import hashlib
import re


def address(data: bytes) -> str:
    """The name of `data` on the wire and on disk: 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_address(text: str) -> bool:
    """Whether `text` can name a blob; anything else has no place in a topic or a path."""
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def matches(data: bytes, expected: str) -> bool:
    """Whether `data` is what the address `expected` names."""
    return address(data) == expected
