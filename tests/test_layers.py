"""The arrows of the design: an import goes down, never up, never in a circle; torch stays in its rooms."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

# The house from the ground up. On one floor rooms do not know each other; only the ground is open.
FLOORS = (
    {"errors", "clock", "logs", "stopping"},
    {
        "units",
        "address",
        "mistakes",
        "yaml_lines",
        "readings",
        "order",
        "derive",
        "columns",
        "cut",
        "spec",
        "windows",
        "resample",
        "states",
        "hygiene",
        "upload",
        "formats",
        "labelling",
    }
    | {"topics", "config", "recordings", "artifact"},
    {"mqtt", "presence"},
    {"device", "store"},
    {"field", "operate"},
    {"simulator", "release", "distill", "watch", "ingest", "export", "access"},
    {"service"},
    {"evaluate"},
    {"api"},
    {"cli"},
)
GROUND = FLOORS[0] | FLOORS[1] | FLOORS[2]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# What trains, and runs in the distiller's own process or in a tool. All else must start without torch.
TORCH_ROOMS = {"distill", "evaluate"}
DISTILLERS_PROCESS = {
    f"iot_stream.service.{name}"
    for name in (
        "distiller",
        "round",
        "learning",
        "models",
        "news",
        "versions",
        "bootstrap",
        "cold_start",
        "watching",
        "scoring",
        "rounds",
        "members",
        "chronicle",
        "candidates",
        "cohort",
        "stages",
        "packing",
    )
} | {"iot_stream.api.running"}
TORCH = {"torch", "torchvision", "onnxscript"}


class Import(NamedTuple):
    """`module` names what is imported; `late` if inside a function, `private` if `_so`."""

    module: str
    line: int
    late: bool
    private: bool


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for package in ("iot_stream", "simulator"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    """`iot_stream.distill.losses.kd` → `distill`; the package itself has no room: ""."""
    if module.startswith("simulator"):
        return "simulator"
    within = module.split(".")[1:]
    return next(
        (name for name in (".".join(within[:2]), ".".join(within[:1])) if name in FLOOR_OF),
        "".join(within[:1]),
    )


def imports(path: Path, *, late: bool = False) -> Iterator[Import]:
    """The imports of a file that run; those for type checkers alone do not."""
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text()), late)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, inside, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: write imports from the package's root"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                target = whole if whole in MODULES else str(node.module)
                yield Import(target, node.lineno, inside, alias.name.startswith("_"))
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending.extend((child, inside or function) for child in ast.iter_child_nodes(node))


IMPORTS = {name: list(imports(path)) for name, path in MODULES.items()}


def inner_imports() -> Iterator[tuple[str, Import]]:
    """Each import of one room by another, with the importing module."""
    for name, found in IMPORTS.items():
        for each in found:
            if each.module in MODULES and room(each.module) != room(name):
                yield name, each


def test_every_module_is_checked_and_has_a_place() -> None:
    homeless = {name for name in MODULES if name != "iot_stream" and room(name) not in FLOOR_OF}
    assert not homeless, "say in FLOORS where these stand"
    assert sum(map(len, IMPORTS.values())) > len(MODULES)
    assert {room(name) for name in MODULES} >= {"errors", "config", "device", "store", "ingest", "simulator"}


def test_imports_go_down() -> None:
    checked, wrong = 0, []
    for name, each in inner_imports():
        own, other = room(name), room(each.module)
        if own not in FLOOR_OF or other not in FLOOR_OF:
            continue  # the bare package, or what the test above finds to be homeless
        checked += 1
        sideways = own in GROUND and other in GROUND and FLOOR_OF[own] == FLOOR_OF[other]
        if not sideways and FLOOR_OF[other] >= FLOOR_OF[own]:
            wrong.append(f"{MODULES[name].relative_to(ROOT)}:{each.line} imports {each.module}")
    assert not wrong
    assert checked > 50


def test_imports_go_in_no_circle() -> None:
    graph = {
        name: {each.module for each in found if not each.late} & MODULES.keys() - {name}
        for name, found in IMPORTS.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")
    assert len(order) == len(MODULES)


def test_the_simulator_knows_the_device_and_the_ground_alone() -> None:
    known = {room(each.module) for name, each in inner_imports() if room(name) == "simulator"}
    assert known
    assert known <= GROUND | {"device"}


def test_rooms_leave_each_others_insides_alone() -> None:
    wrong = [
        f"{name}:{each.line} takes a private name of {each.module}"
        for name, each in inner_imports()
        if each.private
    ]
    assert not wrong


def reaches_torch() -> set[str]:
    """The modules that load torch when they are imported, by themselves or through others."""
    loading: set[str] = set()
    while True:
        more = {
            name
            for name, found in IMPORTS.items()
            if any(
                not each.late and (each.module.split(".")[0] in TORCH or each.module in loading)
                for each in found
            )
        }
        if more == loading:
            return loading
        loading = more


def test_torch_stays_where_it_is_needed() -> None:
    loading = reaches_torch()
    assert {room(name) for name in loading} >= {"distill"}
    strays = {name for name in loading if room(name) not in TORCH_ROOMS} - DISTILLERS_PROCESS
    assert not strays
    direct = {name for name, found in IMPORTS.items() for each in found if each.module.split(".")[0] in TORCH}
    assert {room(name) for name in direct} <= TORCH_ROOMS


def test_all_but_the_distiller_runs_without_torch() -> None:
    """Imports each module of the light rooms in a process of its own and looks for torch there."""
    light = sorted(
        name for name in MODULES if room(name) not in TORCH_ROOMS and name not in DISTILLERS_PROCESS
    )
    light += [f"iot_stream.evaluate.{name}" for name in ("report", "page", "markup")]
    assert {room(name) for name in light} >= GROUND | {
        "store",
        "ingest",
        "release",
        "device",
        "watch",
        "simulator",
    }
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    script += f"print(len(sys.argv) - 1, sorted({TORCH!r} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script, *light], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stderr.splitlines()[-1:] == []
    assert ran.stdout.strip() == f"{len(light)} []"
