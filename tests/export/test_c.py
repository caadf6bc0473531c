"""Exported C beside the device of Python: the same windows from the same readings, the same logits."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from iot_stream.artifact import encodings
from iot_stream.clock import SECOND
from iot_stream.config import Network
from iot_stream.cut import Cut
from iot_stream.derive import FUNCTIONS, Derived
from iot_stream.device.runtime.graph import Graph
from iot_stream.device.runtime.operators import OPERATORS
from iot_stream.device.runtime.plan import Plan
from iot_stream.errors import ModelError
from iot_stream.export import c_source
from iot_stream.export.arena import arena
from iot_stream.export.c_size import sizes
from iot_stream.export.c_source import WEIGHTS, source
from iot_stream.hygiene import Limit
from iot_stream.readings import Times, Values
from iot_stream.states import Hold
from iot_stream.windows import Windower
from tests.export.compiled import CLASSES, HARNESS, SMALL, compile_c, needs_gcc, released, run, said

STUDENTS: dict[str, tuple[str, dict[str, object]]] = {
    "mlp": ("mlp", {}),
    "mlp, deep": ("mlp", {"hidden": (9, 5), "activation": "relu"}),
    "linear": ("mlp", {"hidden": ()}),
    "mobilenet1d": ("mobilenet1d", {}),
    "mobilenet1d, even": ("mobilenet1d", {"stem": 3, "stem_stride": 1, "widths": (5,), "kernel": 4}),
    "resnet1d": ("resnet1d", {"stem": 8, "widths": (12, 16)}),
}


def mostly_slow(names: Iterable[str], *fast: str) -> list[object]:
    """Each name with masks and without; `fast` ones are part of `make check` without, of `make test` with."""
    names = list(names)
    assert set(fast) <= set(names)

    def marks(name: str, masks: bool) -> Iterable[pytest.MarkDecorator]:
        if masks and name not in fast:
            return (pytest.mark.slow, pytest.mark.long)
        return () if name in fast and not masks else (pytest.mark.slow,)

    return [pytest.param(name, masks, marks=marks(name, masks)) for name in names for masks in (False, True)]


@needs_gcc
@pytest.mark.parametrize(("student", "masks"), mostly_slow(STUDENTS, "mlp", "mobilenet1d", "resnet1d"))
def test_a_thousand_windows_give_what_onnxruntime_gives(student: str, masks: bool, tmp_path: Path) -> None:
    arch, options = STUDENTS[student]
    version, model = released(arch, masks=masks, **options)
    rng = np.random.default_rng(2)
    windows = (2 * rng.standard_normal((1000, SMALL.length, 2))).astype(np.float32)
    windows[rng.random(windows.shape) < 0.01] = np.nan
    windows[0, 0, 0] = 3e38
    windows.tofile(tmp_path / "windows")
    program = compile_c(tmp_path, version, HARNESS)
    got = np.frombuffer(run(program, "predict", WEIGHTS, "windows"), np.float32).reshape(1000, len(CLASSES))
    wanted = model.logits(windows)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    best = np.sort(wanted, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(got.argmax(1)[clear], wanted.argmax(1)[clear])
    assert np.ptp(wanted[1:], axis=0).min() > 0.1, "the windows differ in what is said of them"


# --- from readings

STEP = SECOND // 10
MONDAY = 1_750_000_000 * SECOND


def every_function() -> tuple[Derived, ...]:
    """One derived channel for each function of the registry."""
    arguments = {"channel": "a", "duration": "3 s"}
    made = []
    for name, known in sorted(FUNCTIONS.items()):
        hertz = iter(["1/s", "3/s"])
        given = [next(hertz) if each == "frequency" else arguments[each] for each in known.arguments]
        made.append(Derived.parse(f"d_{name}", f"{name}({', '.join(given)})"))
    return tuple(made)


DERIVED = every_function()
ALL = tuple(each.name for each in DERIVED)
LIMITS = (Limit("a", -1.5, 2.0, 2.5), Limit("b", stuck=STEP * 3), Limit("b", jump=2.0))
CUTS = {
    "as they come": Cut(("a", "b"), ("b", "a"), 8, 3, gap=2 * SECOND),
    "never broken": Cut(("a", "b"), ("a",), 4, 4),
    "hop beyond length": Cut(("a", "b"), ("a", "b"), 3, 7, gap=2 * SECOND),
    "required": Cut(("a", "b"), ("a", "b"), 8, 3, gap=2 * SECOND, required=("b",)),
    "hygiene": Cut(("a", "b"), ("a", "b"), 8, 3, gap=2 * SECOND, error_values=(0.0, -0.5), limits=LIMITS),
    "derived": Cut(("a", "b"), ("b", *ALL), 4, 2, DERIVED, STEP, 2 * SECOND, "hold"),
    "on a line": Cut(("a",), ("a",), 8, 3, period=STEP, gap=2 * SECOND),
    "two on a line": Cut(("a", "b"), ("a", "b", *ALL), 8, 3, DERIVED, period=STEP, gap=2 * SECOND),
    "held": Cut(("a", "b"), ("a", "b"), 8, 3, period=STEP, gap=2 * SECOND, fill="hold"),
    "coarse": Cut(("a", "b"), ("a", "b"), 5, 5, period=7 * STEP, gap=9 * SECOND, fill="hold"),
}


def readings(cut: Cut, number: int = 800) -> tuple[Times, Values]:
    """Uneven, some doubled or late, some with what is missing, infinite, stuck or an error; with pauses."""
    rng = np.random.default_rng(3)
    steps = rng.choice([STEP, STEP, STEP, STEP // 3, 5 * STEP, 0, -STEP, 30 * STEP], number)
    times = MONDAY + np.cumsum(steps)
    values = np.round(rng.normal(0, 1, (number, len(cut.channels))), 2).astype(np.float32)
    values[100:110] = values[100]
    if len(cut.channels) > 1 and not (cut.period and cut.fill == "linear"):  # there a reading is whole
        strange = rng.random(values.shape)
        values[strange < 0.1] = np.nan
        values[(strange > 0.1) & (strange < 0.12)] = np.inf
    return times, values


@needs_gcc
@pytest.mark.parametrize(("name", "masks"), mostly_slow(CUTS, "as they come", "hygiene", "two on a line"))
def test_readings_give_what_the_device_of_python_says(name: str, masks: bool, tmp_path: Path) -> None:
    cut = CUTS[name]
    version, model = released("mlp", cut, masks)
    times, values = readings(cut)
    windower = Windower(cut)
    parts = [windower.push(times[at : at + 50], values[at : at + 50]) for at in range(0, len(times), 50)]
    windows = np.concatenate([part.x for part in parts])
    assert len(windows) > 20
    got = said(compile_c(tmp_path, version), times, values)
    assert got.ends == np.concatenate([part.ends for part in parts]).tolist()
    np.testing.assert_allclose(got.logits, model.logits(windows), rtol=1e-3, atol=1e-3)


@needs_gcc
@pytest.mark.parametrize("name", ["held", "hygiene"])
def test_times_that_cannot_be_are_left_out(name: str, tmp_path: Path) -> None:
    cut = CUTS[name]
    version, _ = released("mlp", cut)
    times, values = readings(cut, 200)
    strange = np.array([-1, -(2**63), 2**63 - 1, 2**62 + 1])
    mixed = np.concatenate([strange, times[:100], strange, times[100:]])
    beside = np.zeros((4, 2), np.float32)
    program = compile_c(tmp_path, version)
    honest = said(program, times, values)
    got = said(program, mixed, np.concatenate([beside, values[:100], beside, values[100:]]))
    assert got.ends == honest.ends
    np.testing.assert_array_equal(got.logits, honest.logits)


def test_every_function_of_derive_is_known_or_refused() -> None:
    assert len(DERIVED) == len(FUNCTIONS)
    assert set(c_source.FUNCTIONS) == set(FUNCTIONS)


# --- what C does not have


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"join": SECOND}, r"window\.join: in C a reading has all its channels"),
        ({"channels": ("a", "b", "c"), "holds": (Hold("c"),)}, "no channels that hold as states"),
        ({"period": STEP, "gap": 0}, r"window\.rate needs window\.gap"),
    ],
)
def test_a_cut_beyond_c_is_refused_by_name(change: dict[str, object], named: str) -> None:
    version, _ = released("mlp")
    cut = msgspec.structs.replace(SMALL, **change)
    spec = msgspec.structs.replace(version.spec, cut=cut)
    with pytest.raises(ModelError, match=named):
        source(replaced(version, spec=spec))


def replaced(version: c_source.Released, **changes: object) -> c_source.Released:
    return c_source.Released(**(vars(version) | changes))


def test_a_function_that_c_lacks_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_source, "FUNCTIONS", ("log",))
    version, _ = released("mlp", CUTS["derived"])
    with pytest.raises(ModelError, match=r"derive\.d_absolute_humidity: C has no absolute_humidity"):
        source(version)


def test_a_version_beyond_c_is_refused_by_name() -> None:
    version, _ = released("mlp")
    with pytest.raises(ModelError, match="weights as int8, these are int4"):
        source(replaced(version, encoding="int4"))
    with pytest.raises(ModelError, match="no golden windows"):
        source(replaced(version, spec=msgspec.structs.replace(version.spec, golden=b"")))
    with pytest.raises(ModelError, match="cannot be exported to C: the graph cannot be read"):
        source(replaced(version, graph=b"no graph"))
    bare = encodings.encode("int8", encodings.decode("int8", version.weights).tensors)
    with pytest.raises(ModelError, match="no golden windows"):
        source(replaced(version, weights=bare))


@pytest.mark.slow
def test_every_operator_of_the_numpy_runtime_is_in_some_student_here() -> None:
    steps = {
        type(step).__name__
        for arch, options in STUDENTS.values()
        for step in Plan.of(Graph.read(released(arch, **options)[0].graph)).steps
    }
    assert steps == {"Flat", "Linear", "Relu", "Tanh", "Conv", "Transpose", "Add", "Mean"}
    assert len(steps) == len(OPERATORS) - 1  # two of them flatten


# --- memory


@pytest.mark.parametrize("student", ["mlp", "mobilenet1d", "resnet1d"])
def test_values_that_are_needed_at_once_do_not_overlap(student: str) -> None:
    arch, options = STUDENTS[student]
    plan = Plan.of(Graph.read(released(arch, **options)[0].graph))
    places, size = arena(plan)
    shapes = {"x": plan.window} | {step.output: step.shape for step in plan.steps}
    # Each float knows who wrote it last: whoever reads must find what it was promised.
    owner = np.full(size, "", object)
    owner[places["x"] : places["x"] + int(np.prod(plan.window))] = "x"
    means = {"x": "x"}
    for step in plan.steps:
        for name in step.inputs:
            held = owner[places[name] : places[name] + int(np.prod(shapes[name]))]
            assert (held == means[name]).all(), f"{step.output} reads {name}, which is overwritten"
        view = type(step).__name__ == "Flat"
        means[step.output] = means[step.inputs[0]] if view else step.output
        if not view:
            owner[places[step.output] : places[step.output] + int(np.prod(step.shape))] = step.output
    assert size < plan.values / 2 or len(plan.steps) < 6


@needs_gcc
def test_sizes_are_those_of_the_compiler(tmp_path: Path) -> None:
    version, _ = released("mobilenet1d")
    files, plan = source(version)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = sizes(tmp_path, "gcc")
    assert found is not None
    _, floats = arena(plan)
    assert 4 * floats < found.memory_of_the_network < 4 * floats + 1000
    assert 4 * 64 * 2 < found.memory_of_each_sensor < 4 * 64 * 2 + 300
    assert 2000 < found.code < 20_000
    assert found.constants > 4 * 2 * 64 * 2, "golden windows among them"
    assert sizes(tmp_path, "no-such-compiler") is None


def test_the_network_of_the_version_is_what_is_written() -> None:
    version, _ = released("mlp")
    files, _ = source(version)
    assert files[WEIGHTS] == version.weights
    header = files["iot_model.h"].decode()
    assert "mlp __ 1" in header
    assert "#define IOT_LENGTH 64\n" in header
    assert Network("mlp").arch in header
