"""The machine: room and speed of its disk, and its clock."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from iot_stream.config import Config
from iot_stream.service.doctor.findings import Finding, failed, ok, warn

TRIES = 20
SLOW_MS = 50.0  # the collector writes to the disk some ten times a second
LEAST = 10**9
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")


def check(config: Config, _: Path) -> Iterator[Finding]:
    place = config.store_place
    if isinstance(place, Path):
        folder = next(each for each in (place, *place.absolute().parents) if each.exists())
        yield _room(folder, int(config.store_limit))
        if os.access(folder, os.W_OK):
            yield _fsync(folder)
        else:
            yield failed(
                "disk.write", f"{folder} is not ours to write", "run as the service does, or chown it"
            )
    yield _clock()


def _room(folder: Path, limit: int) -> Finding:
    free, used = shutil.disk_usage(folder).free, sum(f.stat().st_size for f in folder.glob("iot-stream.db*"))
    found = f"{free / 1e9:.1f} GB free for a store that may grow by {max(0, limit - used) / 1e9:.1f} GB"
    if free < LEAST:
        return failed("disk.room", found, "make room: a full disk stops the collector")
    if free < limit - used:
        return warn("disk.room", found, "lower `store_limit`, or make room")
    return ok("disk.room", found)


def _fsync(folder: Path) -> Finding:
    """How long the disk takes to promise that it has something."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(TRIES):
            begin = time.perf_counter()
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - begin) * 1000)
    median = statistics.median(took)
    found = f"a write is on the disk in {median:.1f} ms, at worst {max(took):.1f} ms"
    if median > SLOW_MS:
        return warn("disk.fsync", found, "an SSD in place of a card takes more messages a second")
    return ok("disk.fsync", found)


def _clock() -> Finding:
    """Whether somebody sees to it that it is right; times in telemetry and signatures hang on it."""
    name, remedy = "clock.sync", "timedatectl set-ntp true, or run chrony"
    program = shutil.which("timedatectl")
    if program:
        ran = subprocess.run(
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        if (said := ran.stdout.strip()) in ("yes", "no"):
            yes = said == "yes"
            return ok(name, "set by NTP") if yes else warn(name, "not set by NTP", remedy)
    if SYNCHRONISED.exists():
        return ok(name, "set by NTP")
    return warn(name, "nothing here tells whether NTP sets it (a container's host may)", remedy)
