"""docs/protocol.md beside the code: what is written by hand there holds."""

import importlib
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from tuf.api.metadata import Metadata

from iot_stream import mqtt, readings, topics
from iot_stream.artifact import encodings, trust
from iot_stream.artifact.trust import Scope
from iot_stream.cut import Cut
from iot_stream.device import client, fetching, health, model, predicting
from iot_stream.errors import DataError, Refused
from iot_stream.release.sign import INLINE_LIMIT
from iot_stream.spec import FARTHEST, Spec

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "protocol.md").read_text()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("wire")


def section(title: str) -> str:
    """From a heading to the next of its level."""
    (found,) = re.findall(rf"^(##+) {title}\n(.*?)(?=^##+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(found[1])


def rows(text: str) -> list[list[str]]:
    """Cells of its tables, without the head."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if cells[0] not in ("reason", "`reason`", "field", "in")]


def test_every_refusal_is_explained_and_no_other() -> None:
    named = [cells[0].strip("`") for cells in rows(section("Refusals"))]
    assert sorted(named) == sorted([*trust.REASONS, "disk"])


def test_every_reason_to_go_back_is_explained() -> None:
    text = section("Going back") + section("States of a device")
    source = "".join(map(inspect.getsource, (health, client, predicting)))
    reasons = {*re.findall(r'Complaint\("(\w+)"', source), *re.findall(r'_leave\(\S+ "(\w+)"', source)}
    assert {"nan", "confidence", "crash_loop"} <= reasons
    assert [reason for reason in reasons if f"`{reason}`" not in text] == []


def test_every_state_that_is_named_is_left_and_reached() -> None:
    table = rows(section("States of a device"))
    states = {"EMPTY", "RUNNING", "VERIFY", "FETCH", "TEST", "WRITE"}
    left = {state for cells in table for state in re.findall(r"[A-Z]{4,}", cells[0])}
    reached = {state for cells in table for state in re.findall(r"[A-Z]{4,}", cells[2])}
    assert left == reached == states
    said = {word for cells in table for word in re.findall(r"`([a-z_]+)`", " ".join(cells[3:]))}
    assert {"applied", "rejected", "rolled_back"} <= said


def test_spec_and_cut_are_written_down_field_by_field() -> None:
    names = re.findall(r"`(\w+)`", " ".join(cells[0] for cells in rows(section("Graph and spec"))))
    fields = [f.encode_name for kind in (Spec, Cut) for f in msgspec.structs.fields(kind)]
    assert sorted({*names} - {"field", "cut"}) == sorted({*fields} - {"cut"})


@pytest.mark.parametrize(
    ("title", "says"),
    [
        ("A release", f"weights of up to {INLINE_LIMIT // 1024} KiB"),
        ("Pieces", f"{fetching.AT_ONCE} at a time"),
        ("Topics and payloads", f"every {client.HEALTH_WINDOWS} windows"),
        ("What a device does with it", f"{model.TOLERANCE:.0%} of 1 +".replace("%", " %")),
        ("Graph and spec", f"±10{'⁰¹²³⁴⁵⁶⁷⁸⁹'[int(np.log10(FARTHEST))]}"),
        ("Connection", "30 s"),
    ],
)
def test_numbers_in_the_text_are_those_of_the_code(title: str, says: str) -> None:
    text = PAGE[PAGE.index(f"\n## {title}\n") :] if f"\n## {title}\n" in PAGE else section(title)
    assert says in text.replace("\n", " ")


def test_limits_that_the_code_has_no_name_for() -> None:
    assert "keepalive=30" in inspect.getsource(mqtt)
    assert "detail[:300]" in inspect.getsource(client)
    assert "at most 300 characters" in PAGE.replace("\n", " ")
    assert readings.check_device_name("ü" * 64) == "ü" * 64
    with pytest.raises(DataError):
        readings.check_device_name("ü" * 64 + "x")


def test_each_payload_has_an_example_that_is_one(wire: ModuleType) -> None:
    kinds = {topic.payload for topic in topics.TABLE.values() if topic.payload is not bytes}
    assert wire.PAYLOADS.keys() == kinds
    for kind, example in wire.PAYLOADS.items():
        shown = topics.encode(example).decode()
        assert shown in section(kind.__name__)
        assert topics.decode(kind, shown.encode()) == example


def test_unknown_fields_are_taken_as_the_page_says(wire: ModuleType) -> None:
    refusing = set()
    for kind, example in wire.PAYLOADS.items():
        try:
            topics.decode(kind, json.dumps(json.loads(topics.encode(example)) | {"new": 1}).encode())
        except msgspec.DecodeError:
            refusing.add(kind)
    assert refusing == {topics.Telemetry, topics.LabelMessage}
    assert "telemetry and labels with an unknown field are refused" in section("Versions")
    spec = json.loads(wire.example_spec().encode())
    with pytest.raises(Refused, match="malformed"):
        Spec.decode(json.dumps(spec | {"new": 1}).encode())


def test_the_bundle_of_the_page_is_signed_as_it_says() -> None:
    """From the page alone: the root names the key of the others."""
    text = section("A bundle in bytes")
    shown = dict(re.findall(r"^`([\w.]+\.json)`[^\n]*\n```json\n(.*?)\n```", text, re.MULTILINE | re.DOTALL))
    root = Metadata.from_bytes(shown["1.root.json"].encode())
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    scope = Scope("pumps", "all")
    for role in trust.ROLES:
        metadata = Metadata.from_bytes(shown[f"{role}.json"].encode())
        root.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        trust.check_scope(metadata, scope)
    assert Spec.decode(shown["spec.json"].encode()).golden_windows().tolist() == [[[0.5, 1], [1, 1.5]]]


def test_the_weights_of_the_page_are_what_the_text_makes_of_them(wire: ModuleType) -> None:
    decoded = encodings.decode("int8", wire.example_weights())
    raw = bytes.fromhex(
        "".join(re.findall(r"^[0-9a-f]{4}  ([0-9a-f ]+)$", section("A bundle in bytes"), re.M)[3:])
    )
    assert wire.example_weights().endswith(raw)
    scales, steps = np.frombuffer(raw[16:24], "<f4"), np.frombuffer(raw[24:28], np.int8).reshape(2, 2)
    np.testing.assert_allclose(steps * scales[:, None], decoded.tensors["w"])
