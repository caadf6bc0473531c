"""Keys, and whether what the broker retains can be verified with them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from iot_stream.config import Config
from iot_stream.errors import ConfigError
from iot_stream.release import succession
from iot_stream.release.keys import ONLINE
from iot_stream.service.doctor.findings import Finding, failed, ok, warn

SOON_DAYS = 180
OTHERS = 0o077


def check(config: Config, _: Path) -> Iterator[Finding]:
    folder = config.keys_folder
    try:
        root, known = succession.shown(folder)
    except ConfigError as error:
        yield failed("keys", str(error), "`iot-stream keys init`, or bring back the right ones")
        return
    role = root.roles["root"]
    days = (root.expires - datetime.now(UTC)).days
    found = f"root {root.version}, {role.threshold} of {len(role.keyids)} keys, until {root.expires:%Y-%m-%d}"
    if days < SOON_DAYS:
        yield warn("keys.root", f"{found}: {days} days", "`iot-stream keys rotate` with the root keys")
    else:
        yield ok("keys.root", found)
    here = [key.private for key in known if key.role == "root" and key.private]
    if here:
        told = f"{len(here)} root keys lie on this machine: who takes it over takes the fleet"
        yield warn("keys.offline", told, f"move {here[0].parent}/*.pem away, each to another place")
    else:
        yield ok("keys.offline", "root keys are elsewhere")
    loose = [file for file in (folder / ONLINE, *here) if file.stat().st_mode & OTHERS]
    if loose:
        yield failed("keys.files", f"others may read {loose[0]}", f"chmod 600 {loose[0]}")
    else:
        yield ok("keys.files", "private keys are their owner's alone")
