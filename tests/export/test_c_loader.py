"""The loader in C on artifacts that nobody made: under sanitizers, beside what Python says of them."""

import hashlib
import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from iot_stream.artifact import encodings
from iot_stream.errors import Refused
from iot_stream.export.c_source import WEIGHTS
from tests.export.compiled import HARNESS, SMALL, STRICT, compile_c, needs_gcc, released, run

OK, UNTRUSTED, MALFORMED, INCOMPATIBLE, SELF_TEST = range(5)
MUTATIONS = 3000
pytestmark = needs_gcc


def tried(program: Path, artifacts: list[bytes]) -> list[tuple[int, list[float]]]:
    """For each artifact the loader's result, and what the model that then runs says of one window."""
    packed = b"".join(struct.pack("<I", len(each)) + each for each in artifacts)
    (program.parent / "artifacts").write_bytes(packed)
    lines = run(program, "try", WEIGHTS, "artifacts").decode().splitlines()
    assert len(lines) == len(artifacts)
    return [(int(line.split()[0]), [float(value) for value in line.split()[1:]]) for line in lines]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    spoilt = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(rng.integers(1, 4)):
        # Mostly in the header, where a parser can go wrong.
        at = int(rng.integers(0, min(len(spoilt), header if rng.random() < 0.8 else len(spoilt)) or 1))
        way = rng.integers(0, 6)
        if way == 0:
            spoilt[at : at + 1] = bytes([rng.integers(0, 256)])
        elif way == 1:
            spoilt[at : at + 1] = bytes([rng.choice(list(b'0123456789,:[]{}"\\ '))])
        elif way == 2:
            del spoilt[at : at + int(rng.integers(1, 20))]
        elif way == 3:
            spoilt[at:at] = spoilt[max(0, at - int(rng.integers(1, 20))) : at]
        elif way == 4:
            del spoilt[at:]
        else:
            spoilt += rng.bytes(int(rng.integers(1, 20)))
    return bytes(spoilt)


def python_accepts(version: bytes, artifact: bytes) -> bool:
    """Whether a device of Python would take it: decoded, and of this student's shapes."""
    try:
        decoded = encodings.decode("int8", artifact)
    except Refused:
        return False
    own = encodings.decode("int8", version).tensors
    return {n: w.shape for n, w in decoded.tensors.items()} == {n: w.shape for n, w in own.items()}


@pytest.mark.parametrize(
    "arch",
    [
        pytest.param("mlp", marks=pytest.mark.slow),
        "mobilenet1d",
        pytest.param("resnet1d", marks=pytest.mark.slow),
    ],
)
def test_spoilt_artifacts_are_refused_and_the_old_weights_go_on(arch: str, tmp_path: Path) -> None:
    options = {} if arch == "mlp" else {"stem": 4, "widths": (6,)}
    version, _ = released(arch, **options)
    program = compile_c(tmp_path, version, HARNESS)
    rng = np.random.default_rng(4)
    artifacts = [version.weights, *(mutated(version.weights, rng) for _ in range(MUTATIONS))]
    results = tried(program, artifacts)
    assert results[0][0] == OK
    refused = 0
    for artifact, (result, logits) in zip(artifacts, results, strict=True):
        assert result in (OK, MALFORMED, INCOMPATIBLE, SELF_TEST)
        if result == OK:
            assert python_accepts(version.weights, artifact), artifact[:200]
        else:
            refused += 1
            assert logits == results[0][1]
    assert refused > MUTATIONS / 2
    assert {result for result, _ in results} >= {OK, MALFORMED, INCOMPATIBLE}


def header_of(content: bytes) -> dict[str, dict[str, object]]:
    size = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + size]))


def with_header(content: bytes, header: object) -> bytes:
    size = int.from_bytes(content[:8], "little")
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def test_each_way_to_be_wrong_has_its_result(tmp_path: Path) -> None:
    version, _ = released("mlp")
    content, header = version.weights, header_of(version.weights)
    names = list(header)
    missing = {name: each for name, each in header.items() if name != names[0]}
    renamed = {("other" if name == names[0] else name): each for name, each in header.items()}
    assert header[names[0]]["shape"] == header[names[1]]["shape"]
    overlap = header | {names[0]: header[names[1]]}
    weights = encodings.decode("int8", content)
    larger = {name: np.concatenate([w, w]) for name, w in weights.tensors.items()}
    others = {name: 3 * w for name, w in weights.tensors.items()}
    nan = dict(weights.tensors)
    bias = next(name for name, w in nan.items() if w.ndim == 1)
    cases = [
        (b"", MALFORMED),
        (content[:7], MALFORMED),
        (struct.pack("<Q", 2**64 - 1) + content[8:], MALFORMED),
        (content + b"\0", MALFORMED),
        (content[:-1], MALFORMED),
        (with_header(content, header), OK),
        (with_header(content, missing), MALFORMED),
        (with_header(content, renamed), INCOMPATIBLE),
        (with_header(content, overlap), MALFORMED),
        (with_header(content, {}), MALFORMED),
        (with_header(content, []), MALFORMED),
        (encodings.encode("int8", weights.tensors), MALFORMED),
        (encodings.encode("int8", larger, weights.selftest), INCOMPATIBLE),
        (encodings.encode("int8", others, weights.selftest), SELF_TEST),
        (with_nan(content, header[bias]), MALFORMED),
    ]
    results = tried(compile_c(tmp_path, version, HARNESS), [artifact for artifact, _ in cases])
    assert [result for result, _ in results] == [wanted for _, wanted in cases]


def with_nan(content: bytes, entry: dict[str, object]) -> bytes:
    begin = 8 + int.from_bytes(content[:8], "little") + entry["data_offsets"][0]
    return content[:begin] + struct.pack("<f", np.nan) + content[begin + 4 :]


def test_sha_256_is_that_of_hashlib(tmp_path: Path) -> None:
    version, _ = released("mlp")
    compile_c(tmp_path, version)
    (tmp_path / "digest.c").write_text(
        '#include <stdio.h>\n#include "iot_sha256.h"\n'
        "int main(void){static uint8_t b[300],d[32];for(size_t n=0;n<300;n++){b[n]=(uint8_t)(n*7);"
        'iot_sha256(b,n,d);for(int i=0;i<32;i++)printf("%02x",d[i]);printf("\\n");}return 0;}\n'
    )
    sources = [str(tmp_path / name) for name in ("digest.c", "iot_sha256.c")]
    subprocess.run(["gcc", *STRICT, *sources, "-o", str(tmp_path / "digest")], check=True)
    content = bytes(n * 7 % 256 for n in range(300))
    wanted = [hashlib.sha256(content[:n]).hexdigest() for n in range(300)]
    assert run(tmp_path / "digest").decode().splitlines() == wanted
    assert SMALL.length == 64
