"""What exported C takes: compiled for size, without the example program around it."""

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from iot_stream.errors import ConfigError

PROBE = '#include "iot_stream.h"\niot_stream probe;\n'


class Sizes(NamedTuple):
    """Bytes of code, of constants with the tables, of the network's memory, and of a sensor's stream."""

    code: int
    constants: int
    memory_of_the_network: int
    memory_of_each_sensor: int


def sizes(folder: Path, compiler: str) -> Sizes | None:
    """Of the sources in a folder, without the C library; None where there is no such compiler.

    Raises ConfigError with what the compiler says.
    """
    command = shlex.split(compiler)
    if not command or not shutil.which(command[0]):
        return None
    size = command[0].removesuffix("gcc") + "size" if command[0].endswith("gcc") else "size"
    if not shutil.which(size):
        return None
    with tempfile.TemporaryDirectory() as made:
        probe = Path(made) / "probe.c"
        probe.write_text(PROBE)
        sources = sorted(path for path in folder.glob("iot_*.c"))
        for source in [*sources, probe]:
            into = Path(made) / f"{source.stem}.o"
            _run([*command, "-std=c99", "-Os", f"-I{folder}", "-c", str(source), "-o", str(into)])
        own = [_of(size, Path(made) / f"{source.stem}.o") for source in sources]
        stream = sum(_of(size, Path(made) / "probe.o").values())
    total = {kind: sum(each.get(kind, 0) for each in own) for kind in ("text", "rodata", "data", "bss")}
    return Sizes(total["text"], total["rodata"], total["data"] + total["bss"], stream)


def _of(size: str, path: Path) -> dict[str, int]:
    """Kind of section → bytes, of an object file."""
    found: dict[str, int] = {}
    for line in _run([size, "-A", str(path)]).splitlines():
        name, *rest = line.split() or [""]
        kind = name.removeprefix(".").split(".")[0]
        if kind in ("text", "rodata", "data", "bss"):
            found[kind] = found.get(kind, 0) + int(rest[0])
    return found


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout
