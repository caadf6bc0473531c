"""Content addresses."""

from iot_stream.artifact import blobs


def test_address_is_the_sha256_of_the_bytes() -> None:
    # FIPS 180-2, appendix B.1
    assert blobs.address(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_only_an_address_can_be_one() -> None:
    assert blobs.is_address(blobs.address(b""))
    for text in ("", "../../etc/passwd", "#", "+", "a" * 63, "a" * 65, "A" * 64, "a" * 64 + "\n"):
        assert not blobs.is_address(text)


def test_matches_tells_the_named_bytes_from_any_other() -> None:
    assert blobs.matches(b"weights", blobs.address(b"weights"))
    assert not blobs.matches(b"weight", blobs.address(b"weights"))
    assert not blobs.matches(b"weights", blobs.address(b"weights").upper())
