"""Students as a version has them, and their C compiled with every warning and sanitizer that gcc has."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from iot_stream.config import Network
from iot_stream.cut import Cut
from iot_stream.device.model import Model
from iot_stream.distill.models import build
from iot_stream.distill.student import Architecture
from iot_stream.export import Released
from iot_stream.export.c_source import WEIGHTS, source
from iot_stream.readings import Times, Values
from iot_stream.spec import Spec

CLASSES = ("calm", "busy", 'a "word"\n*/')
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
HARNESS = Path(__file__).parent / "harness.c"
SMALL = Cut(("a", "b"), ("a", "b"), 64, 16, gap=10**9)

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed: apt-get install gcc")


@cache
def released(arch: str, cut: Cut = SMALL, masks: bool = False, **options: object) -> tuple[Released, Model]:
    """A version of an untrained student, and the same as a device of Python runs it."""
    rng = np.random.default_rng(1)
    inputs = len(cut.inputs)
    golden = rng.standard_normal((2, cut.length, inputs)).astype(np.float32)
    golden[0, 0, 0] = np.nan
    mean, scale = tuple(rng.normal(0, 1, inputs).tolist()), tuple(rng.uniform(0.5, 2, inputs).tolist())
    spec = Spec(cut, CLASSES, mean, scale, masks, golden.tobytes())
    network = Network(arch, (), tuple(options.items()))
    architecture = Architecture.of(network, spec, 0)
    model = build(arch, cut.length, spec.model_channels, len(CLASSES), seed=1, **options)
    for weight in model.parameters():
        weight.data += 0.2 * weight.data.new_tensor(rng.standard_normal(weight.shape))
    packed = architecture.pack(model)
    name = f"{arch} */ 1"
    return Released(name, packed.graph, spec, packed.weights, packed.encoding, packed.resume), packed.model()


def compile_c(folder: Path, version: Released, main: Path | None = None) -> Path:
    """The program, in a folder of its own; `main` in place of the example."""
    files, _ = source(version)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if main:
        (folder / "main.c").write_bytes(main.read_bytes())
    sources = sorted(str(path) for path in folder.glob("*.c"))
    command = ["gcc", *STRICT, *SANITIZED, *sources, "-lm", "-o", str(folder / "student")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "student"


def run(program: Path, *arguments: str, text: bytes = b"") -> bytes:
    done = subprocess.run(
        [str(program), *arguments], input=text, cwd=program.parent, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()[:3000]
    return done.stdout


@dataclass(frozen=True)
class Said:
    """What the example program prints: `ends` (n,) ns, `logits` (n, classes)."""

    ends: list[int]
    logits: Values


def said(program: Path, times: Times, values: Values) -> Said:
    """The example program on readings (n,), (n, channels)."""
    lines = (
        f"{time} {' '.join(f'{value:.9g}' for value in row)}\n"
        for time, row in zip(times.tolist(), values.tolist(), strict=True)
    )
    out = run(program, WEIGHTS, text="".join(lines).encode()).decode("latin-1")
    tidy = out.replace(CLASSES[2], "word")
    rows = [line.split() for line in tidy.splitlines()]
    logits = np.array([[float(value) for value in row[2:]] for row in rows], np.float32)
    return Said([int(row[0]) for row in rows], logits.reshape(len(rows), len(CLASSES)))
