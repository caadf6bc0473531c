"""Artifacts larger than a message, in pieces: equal chunks whose hashes stand in the signed metadata.

Chunking costs several times the time of one message, so an artifact is cut only where it does not fit the
broker or the smallest device. Each piece is checked by itself when it comes, so any order will do, and a
device that was cut off asks for just those that it lacks.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tuf.api.metadata import TargetFile

from iot_stream.artifact.blobs import address, is_address
from iot_stream.errors import Refused

FIELD = "chunks"
"""Signed custom field of a target in several pieces: their addresses in order, separated by spaces."""


class Piece(NamedTuple):
    """What is retained at `blob/{artifact}/{n}`, and the address of its content."""

    artifact: str
    n: int
    sha256: str


def cut(data: bytes, limit: int) -> list[bytes]:
    """`data` in as few equal pieces as messages of `limit` bytes allow; 0: in one."""
    count = -(-len(data) // limit) if limit else 1
    size = -(-len(data) // max(count, 1))
    return [data[at : at + size] for at in range(0, len(data), size)] if count > 1 else [data]


def signed_field(parts: list[bytes]) -> dict[str, str]:
    """What the metadata says of them; nothing of an artifact in one piece, whose address is its own."""
    return {FIELD: " ".join(map(address, parts))} if len(parts) > 1 else {}


def of(target: TargetFile) -> tuple[Piece, ...]:
    """The pieces of a signed target whose SHA-256 is an address. Raises Refused ("malformed")."""
    artifact = target.hashes["sha256"]
    custom = target.custom if isinstance(target.custom, Mapping) else {}
    named = str(custom.get(FIELD, artifact)).split(" ")
    if not all(map(is_address, named)):
        raise Refused("malformed", f"{target.path}: its {FIELD} are not the addresses of pieces")
    return tuple(Piece(artifact, n, sha256) for n, sha256 in enumerate(named))


def largest(target: TargetFile) -> int:
    """Bytes of the largest message that carries a piece of this target."""
    return -(-target.length // len(of(target)))
