"""What `docs/protocol.md` has from the code itself: limits, and what is on the wire, in bytes.

`python docs/generate.py` calls this. The keys of the example are no secret: bytes that count up.
"""

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.inspect import IntType, StrType, type_info
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from iot_stream import hygiene, mqtt, spec, topics
from iot_stream.artifact import encodings, pieces, stages, trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND, iso
from iot_stream.cut import MOST_ROWS, Cut
from iot_stream.device import client, fetching, health, model, updater
from iot_stream.formats import sample
from iot_stream.release import keys, shelf, sign
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, bundle, release_targets
from iot_stream.spec import Spec
from iot_stream.upload import Rest
from iot_stream.windows import Windows

NOW = 1_767_225_600 * SECOND  # 2026-01-01
LEVELS = {
    "prefix": "iot", "pipeline": "pumps", "device": "pump-07", "cohort": "all", "slot": "stable",
    "part": "collector", "round": "20260101-000000-all",
}  # fmt: skip


# --- limits ---------------------------------------------------------------------------------


def limits() -> str:
    """Every limit of the protocol, as the constants of the code have it."""
    tuf = trust._LIMITS
    telemetry = {field.name: field.type for field in type_info(topics.Telemetry).fields}  # type: ignore[attr-defined]
    boot, seq = telemetry["boot"], telemetry["seq"]
    assert isinstance(boot, StrType)
    assert isinstance(seq, IntType)
    rows = [
        (
            "name of a device or cohort",
            "1 to 128 bytes of UTF-8, one level of a topic",
            "counted as `device_name`",
        ),
        ("a bundle, inflated", _size(trust.MAX_BUNDLE), "device: `too_large`"),
        (
            "metadata in it: a root; timestamp, snapshot; targets",
            f"{_size(tuf.root_max_length)}; {_size(tuf.timestamp_max_length)} each; "
            f"{_size(tuf.targets_max_length)}",
            "device: `too_large`",
        ),
        (
            "roots that one bundle may be ahead of the device",
            f"{tuf.max_root_rotations}",
            "device: no more are looked at",
        ),
        ("delegations of targets", f"{tuf.max_delegations}", "there are none"),
        ("one artifact (signed length)", _size(updater.MAX_ARTIFACT), "device: `too_large`"),
        ("weights in a bundle", _size(sign.INLINE_LIMIT), "publisher: larger ones are blobs"),
        ("pieces asked for at a time", f"{fetching.AT_ONCE}", "device"),
        (
            "room that the publisher leaves below `max_packet`",
            f"{shelf.ROOM} bytes",
            "topic and MQTT's header",
        ),
        (
            "a message that a device without `max_packet` takes",
            _size(mqtt.MAX_PACKET),
            "MQTT's Maximum Packet Size",
        ),
        (
            "lifetime of a bundle",
            f"{sign.LIFETIME.days} days",
            "publisher: signed again at half of it; device: `expired`",
        ),
        ("lifetime of a root", f"{keys.ROOT_LIFETIME.days} days", "device: `expired`"),
        (
            "count of signings, number of a version that a device says",
            f"below 2^{shelf.COUNTABLE.bit_length() - 1}",
            "publisher: others are not believed",
        ),
        ("number of a release", "from 1", "device: `malformed`"),
        ("counts in payloads", f"0 to 2^{_bits(topics.Count)} − 1", "message not understood"),
        ("times in payloads", f"0 to 2^{_bits(topics.Time)} − 1", "message not understood"),
        (
            "`seq` of telemetry",
            f"{seq.ge} for none, to 2^{(seq.lt or 0).bit_length() - 1} − 1",
            "counted as `wrong_type`",
        ),
        ("`boot` of telemetry", f"{boot.max_length} characters", "counted as `wrong_type`"),
        ("a message of readings, or a label", _size(hygiene.MAX_PAYLOAD), "counted as `too_large`"),
        (
            "times of readings",
            f"from {iso(hygiene.EARLIEST)[:10]} to {_time(hygiene.AHEAD)} ahead",
            "counted as `absurd_time`",
        ),
        ("rows of a window, and of a hop", f"1 to {MOST_ROWS:,}", "device: `self_test`"),
        (
            "golden windows: difference of a logit, as a share of 1 + its size",
            f"{model.TOLERANCE:g}",
            "device: `self_test`",
        ),
        ("a normalised input", f"±{spec.FARTHEST:,.0f}", "device: clipped"),
        (
            "deaths of the process while it tries a version",
            f"{client.CRASHES}",
            "device: `rolled_back`, `crash_loop`",
        ),
        (
            "windows between two reports of health; windows that its figures are of",
            f"{client.HEALTH_WINDOWS}; {health.KEPT}",
            "device",
        ),
        ("keep-alive of a connection", "30 s", "Last Will after one and a half of it"),
        ("messages in flight towards a client", f"{mqtt.RECEIVE_MAXIMUM}", "MQTT's Receive Maximum"),
        (
            "session of the collector, the only durable one",
            _time(mqtt.SESSION_S * SECOND),
            "MQTT's Session Expiry",
        ),
    ]
    return "\n".join(
        ["| what | limit | who keeps it |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    )


def _size(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def _time(nanoseconds: int) -> str:
    days = timedelta(microseconds=nanoseconds // 1000).days
    return f"{days} day{'s' if days > 1 else ''}"


def _bits(kind: Any) -> int:
    """That the largest number of a type has."""
    found = type_info(kind)
    found = found.type if isinstance(found, msgspec.inspect.Metadata) else found
    assert isinstance(found, IntType)
    return ((found.lt or 0) - 1 if found.lt is not None else found.le or 0).bit_length()


# --- examples -------------------------------------------------------------------------------

PAYLOADS = {
    type(example): example
    for example in (
        topics.Cohort("all"),
        topics.LabelMessage(NOW, "worn", NOW + 60 * SECOND),
        topics.Prediction(NOW, "worn", 0.9731, 12, [(NOW - 2 * SECOND, "good", 0.62)]),
        topics.Report("applied", NOW, 12, 11, swap_us=3.4, readings=90_000, windows=45_000),
        topics.RoundEvent("released", LEVELS["round"], NOW, version=12, detail="2391 bytes to all"),
        topics.Service(True, "814-5f0c1a2b", "gateway", NOW),
        topics.Status(True, 12, "all", "onnxruntime", "9f3a6c01", 65_536, {"stable": 40, "canary": 7}),
        topics.Update("11", "12", "pumps student", "+0.021 (at least +0.004) on 800 windows by teacher"),
        topics.Telemetry({"x": [0.25, None], "y": [3, 4]}, "9f3a6c01", 90_000, NOW, SECOND // 2),
    )
}


def payload_example(kind: type[msgspec.Struct]) -> str:
    """An example of a payload, on its topic."""
    (topic,) = (topic for topic in topics.TABLE.values() if topic.payload is kind)
    return f"`{topic.of(**LEVELS)}`\n```json\n{topics.encode(PAYLOADS[kind]).decode()}\n```"


def _signer(first: int) -> CryptoSigner:
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(first, first + 32))))


def _keys() -> Keys:
    """Of a service whose one root key is the bytes 0 to 31, and whose online key is 32 to 63."""
    owner, online = _signer(0), _signer(32)
    expires = datetime.fromtimestamp(NOW // SECOND, UTC) + keys.ROOT_LIFETIME
    root = Root(version=1, expires=expires, consistent_snapshot=False)
    root.add_key(owner.public_key, Root.type)
    for role in trust.ROLES:
        root.add_key(online.public_key, role)
    metadata = Metadata(root)
    metadata.sign(owner)
    return Keys(online, {trust.root_name(1): metadata.to_bytes(JSONSerializer(compact=True))})


def example_spec() -> Spec:
    """Of windows of two readings of two channels."""
    golden = np.array([[[0.5, 1], [1, 1.5]]], np.float32)
    cut = Cut(("x", "y"), ("x", "y"), 2, 1)
    return Spec(cut, ("good", "worn"), (0.0, 1.0), (1.0, 2.0), golden=golden.tobytes())


def example_weights() -> bytes:
    weights = {"w": np.array([[0.5, -1.0], [0.25, 0.125]]), "b": np.array([0.0, 1.0])}
    return encodings.encode("int8", weights, np.array([[0.25, 1.5]]))


def example_bundle() -> tuple[bytes, bytes, dict[str, bytes]]:
    """The root that a device has, the packed bundle, and its entries."""
    made = _keys()
    targets = release_targets(b"(a graph)", example_spec().encode(), example_weights(), "int8", "r12", "gate")
    entries = Repository(made, Scope("pumps", "all")).release(12, targets, NOW)
    payload, _ = bundle(entries, targets)
    return made.newest_root, payload, trust.unpack_bundle(payload)


def bundle_example() -> str:
    """A whole bundle, its root, its weights, its spec."""
    root, _, entries = example_bundle()
    packed = msgspec.msgpack.encode(entries)
    blob = next(name for name in entries if name.startswith(trust.BLOB))
    header = int.from_bytes(entries[blob][:8], "little")
    lines = [
        f"`{topics.BUNDLE.of(**LEVELS)}`, inflated: {len(packed)} bytes of MessagePack, which begin",
        "```",
        *_dump(packed[:32]),
        "```",
        f"`{packed[0]:02x}`: a map of {len(entries)}; `d9 45`: a string of {packed[2]} bytes, `{blob[:9]}…`. "
        "Values are `bin`, not `str`.",
        "",
        "| name | bytes |",
        "|---|---|",
        *(f"| `{name}` | {len(content)} |" for name, content in entries.items()),
        "",
        "`1.root.json`, which the device has been set up with:",
        _text(root.decode()),
    ]
    for role in trust.ROLES:
        lines += [f"`{role}.json`:", _text(entries[trust.metadata_name(role)].decode())]
    lines += [
        "`weights.int8`, the blob: little-endian length of the header, the header, the tensors in its order",
        "```",
        *_dump(entries[blob][:8]),
        entries[blob][8 : 8 + header].decode().rstrip(),
        *_dump(entries[blob][8 + header :], 8 + header),
        "```",
        "`spec.json`; its `golden` is one window of two rows, 0.5 1 and 1 1.5:",
        _text(example_spec().encode().decode(), "json"),
    ]
    return "\n".join(lines)


def sample_example() -> str:
    """Two windows that share a row, and a summary of three."""
    cut = Cut(("x", "y"), ("x", "y"), 2, 1)
    x = np.array([[[0.5, 1], [1, 1.5]], [[1, 1.5], [2, 1.25]]], np.float32)
    starts = NOW + np.arange(2) * SECOND
    rest = Rest(
        NOW,
        NOW + 4 * SECOND,
        3,
        2,
        {"good": 1, "worn": 2},
        0.9,
        {"x": (1, 0.5, 0.5, 2), "y": (1, 0.25, 1, 1.5)},
    )
    windows = {cut.id: Windows(starts, starts + SECOND, x)}
    made = sample.Sample(windows, rest, 12, ("worn",), np.zeros(2, np.int64), np.array([0.75, 1.0]))
    payload = sample.encode(made, (cut,))
    content = zlib.decompress(payload)
    message = msgspec.msgpack.decode(content)
    topic = topics.SAMPLE.of(**LEVELS)
    lines = [f"`{topic}`, {len(payload)} bytes, inflated {len(content)}:", "```", *_dump(content), "```"]
    return "\n".join(
        [*lines, "The same as JSON, bytes in hexadecimal:", "```json", json.dumps(_hex(message)), "```"]
    )


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hex(each) for key, each in value.items()}
    return [_hex(each) for each in value] if isinstance(value, list) else value


def _text(text: str, language: str = "json") -> str:
    return f"```{language}\n{text}\n```"


def _dump(content: bytes, first: int = 0) -> list[str]:
    return [f"{first + at:04x}  {content[at : at + 16].hex(' ')}" for at in range(0, len(content), 16)]


def slot_example() -> str:
    """Where a device stands, and pieces."""
    share = stages.share("pump-07", 12)
    parts = pieces.cut(b"0123456789", 4)
    cut = ", ".join(f"`{part.decode()}`" for part in parts)
    return (
        f"SHA-256 of `pump-0712` begins `{int(share * 2**32):08x}`: {100 * share:.2f} %, so version 12 comes "
        f"to `pump-07` when `percent` exceeds that.\n"
        f"The ten bytes `0123456789`, where a message holds 4, are {cut}: as few pieces as will do, of equal "
        f"length but for the last.\n"
        f"Their `chunks`: `{pieces.signed_field(parts)[pieces.FIELD][:12]}…`, three hashes."
    )
