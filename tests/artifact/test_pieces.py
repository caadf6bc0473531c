"""Artifacts in pieces: whatever size and limit, they come together again, and each is checked alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import TargetFile

from iot_stream.artifact import blobs, pieces
from iot_stream.errors import Refused


def signed(data: bytes, parts: list[bytes]) -> TargetFile:
    target = TargetFile.from_data("weights.int8", data)
    if custom := pieces.signed_field(parts):
        target.unrecognized_fields["custom"] = custom
    return target


@given(st.binary(max_size=2000), st.integers(0, 2100))
def test_pieces_fit_the_limit_and_make_the_whole(data: bytes, limit: int) -> None:
    parts = pieces.cut(data, limit)
    assert b"".join(parts) == data
    assert not limit or all(len(part) <= limit for part in parts)
    target = signed(data, parts)
    named = pieces.of(target)
    assert [piece.sha256 for piece in named] == [blobs.address(part) for part in parts]
    assert [piece.n for piece in named] == list(range(len(parts)))
    assert {piece.artifact for piece in named} == {blobs.address(data)}
    assert pieces.largest(target) == max(map(len, parts))


def test_what_fits_stays_one_piece_of_its_own_address() -> None:
    assert pieces.cut(bytes(100), 100) == [bytes(100)]
    assert pieces.signed_field([bytes(100)]) == {}
    (piece,) = pieces.of(signed(bytes(100), [bytes(100)]))
    assert piece.sha256 == piece.artifact


@pytest.mark.parametrize("field", ["", "../../etc", "ab " * 3, f"{'0' * 64}  {'1' * 64}"])
def test_a_field_that_names_no_addresses_is_refused(field: str) -> None:
    target = signed(b"x", [b"x"])
    target.unrecognized_fields["custom"] = {pieces.FIELD: field}
    with pytest.raises(Refused, match="malformed"):
        pieces.of(target)
