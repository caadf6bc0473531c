"""What figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine(*packages: str) -> dict[str, str]:
    """Processor, cores, Python, and the versions of these packages."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or a processor that does not say
    found = {"cpu": cpu, "cores": str(os.cpu_count()), "python": platform.python_version()}
    return found | {name: version(name) for name in packages}
