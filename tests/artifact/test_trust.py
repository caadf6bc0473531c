"""Bundles as bytes. What TUF refuses is tested where a device meets it: tests/device/test_updater.py."""

import contextlib
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.artifact import trust
from iot_stream.errors import ConfigError, Refused

ENTRIES = st.dictionaries(st.text(max_size=12), st.binary(max_size=200), max_size=6)


@given(ENTRIES)
def test_unpack_gives_back_what_was_packed(entries: dict[str, bytes]) -> None:
    assert trust.unpack_bundle(trust.pack_bundle(entries)) == entries


@given(ENTRIES)
def test_the_order_of_entries_does_not_change_the_bytes(entries: dict[str, bytes]) -> None:
    assert trust.pack_bundle(dict(reversed(entries.items()))) == trust.pack_bundle(entries)


@given(st.binary(max_size=100))
def test_junk_is_refused_as_malformed(junk: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        trust.unpack_bundle(junk)
    assert refusal.value.reason == "malformed"


@given(st.binary(max_size=100))
def test_deflated_junk_is_a_map_or_refused(junk: bytes) -> None:
    with contextlib.suppress(Refused):
        entries = trust.unpack_bundle(zlib.compress(junk))
        assert all(isinstance(data, bytes) for data in entries.values())


@pytest.mark.parametrize(
    "packed",
    [
        msgspec.msgpack.encode({"a": "text"}),
        msgspec.msgpack.encode({"a": 1}),
        msgspec.msgpack.encode([b"a"]),
        msgspec.msgpack.encode({}) + b"\x00",
        b"\x81\xa1\xff\xc4\x00",  # a name that is not UTF-8
        b"\xdf\xff\xff\xff\xff",  # a map of 4 billion entries, it says
        b"\x91" * 100_000,  # nested without end
    ],
)
def test_anything_but_names_to_bytes_is_refused(packed: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        trust.unpack_bundle(zlib.compress(packed))
    assert refusal.value.reason == "malformed"


def test_cut_short_and_appended_to() -> None:
    bundle = trust.pack_bundle({"a": bytes(100)})
    for payload in (bundle[:-1], bundle + b"x", bundle + bundle):
        with pytest.raises(Refused, match="malformed: the bundle is cut short"):
            trust.unpack_bundle(payload)


def test_endless_data_is_refused_without_being_inflated() -> None:
    endless = zlib.compress(bytes(100_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as refusal:
            trust.unpack_bundle(endless, max_bytes=100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusal.value.reason == "too_large"
    assert peak < 1_000_000


def test_the_limit_itself_is_allowed() -> None:
    entries = {"a": bytes(1000)}
    size = len(msgspec.msgpack.encode(entries))
    assert trust.unpack_bundle(trust.pack_bundle(entries), max_bytes=size) == entries
    with pytest.raises(Refused, match="too_large"):
        trust.unpack_bundle(trust.pack_bundle(entries), max_bytes=size - 1)


@pytest.mark.parametrize("root", [b"", b"{}", b'{"signed":{},"signatures":[]}', b"\xff\xfe"])
def test_a_root_that_is_none_is_the_persons_error(root: bytes) -> None:
    with pytest.raises(ConfigError, match="iot-stream device add"):
        trust.check_root(root)
