"""The store: of which schema, how full, and whole?"""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from iot_stream.config import Config
from iot_stream.service.doctor.findings import Finding, failed, ok, warn
from iot_stream.store import Store
from iot_stream.store.migrations import STEPS
from iot_stream.store.sqlite import FILE

LOOK_S = 10.0
FULL = 0.9


def check(config: Config, _: Path) -> Iterator[Finding]:
    place = config.store_place
    if isinstance(place, Path):
        if not (place / FILE).exists():
            yield warn("store", f"no store in {place} yet", "`iot-stream serve` makes it")
            return
        have = _schema(place / FILE)
        if have != len(STEPS):
            later = have > len(STEPS)
            remedy = "update this iot-stream" if later else "restart the service: it brings the store forward"
            state = failed if later else warn
            yield state("store.schema", f"schema {have}, this iot-stream has {len(STEPS)}", remedy)
            return
        yield ok("store.schema", f"schema {have}")
        yield _whole(place / FILE)
    store = Store(place)
    try:
        used, limit = store.used(), int(config.store_limit)
        found = f"{_size(used)} of {_size(limit)} that `store_limit` allows"
        if used > FULL * limit:
            yield warn(
                "store.size", f"{found}: the oldest goes soon", "raise `store_limit`, or shorten `retention`"
            )
        else:
            yield ok("store.size", found)
    finally:
        store.close()


def _schema(file: Path) -> int:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


def _whole(file: Path) -> Finding:
    """As far as can be seen in some seconds: a large file takes minutes."""
    name, deadline = "store.whole", time.monotonic() + LOOK_S
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            return failed(name, f"{file}: {error}", "`iot-stream restore` a backup")
        return ok(name, f"nothing broken in the first {LOOK_S:g} s of looking")
    except sqlite3.Error as error:
        return failed(name, f"{file}: {error}", "`iot-stream restore` a backup")
    finally:
        connection.close()
    if said == "ok":
        return ok(name, "nothing is broken")
    return failed(name, f"{file}: {said}", "`iot-stream restore` a backup")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
