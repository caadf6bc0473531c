"""A small service and fleet as processes, as a person would start them."""

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

from iot_stream.api import running
from iot_stream.config import Config, load
from iot_stream.store import Store

NAME = "tiny"


def write_config(folder: Path, url: str, prefix: str, **changes: object) -> Path:
    """World `features` with nets that train in a second."""
    pipeline = {
        "sources": [{"channels": {f"f{i}": f"f{i}" for i in range(10)}}],
        "window": {"length": 4, "hop": 2, "gap": "5 s"},
        "task": {"classify": ["normal", "alert"]},
        "teacher": {"arch": "mlp", "hidden": [32]},
        "student": {"arch": "mlp", "hidden": [6]},
        "train": {"steps": 200},
        "distill": {"first_steps": 200, "steps": 30},
        "sample": {"recent": 300, "reservoir": 200},
        "triggers": {"every": "2 s", "at_least": 20},
        "gate": {"n_min": 10, "delta": 0.9, "recall_drop": 1.0},
        "trust": {"drop": 1.0},  # a teacher so small errs at times, and whether it is held is not the matter
        "recordings": {
            "world": "features",
            "bootstrap": {
                "teacher": {"regimes": ["commissioned", "heavy"], "machines": [100, 110], "bursts": 128},
                "student": {"regimes": ["commissioned"], "machines": [100, 110], "bursts": 128},
            },
        },
    }
    config = {
        "broker": url,
        "store": f"sqlite:{folder / 'store'}",
        "prefix": prefix,
        "pipelines": {NAME: pipeline | changes},
    }
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


@functools.cache
def _taught() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    with opened(write_config(folder, "mqtt://127.0.0.1:1", "nobody")) as (config, store):
        running.prepared(config, store, NAME, folder)
    return folder / "store"


def write_taught(folder: Path, url: str, prefix: str, **changes: object) -> Path:
    """A configuration whose store has the trained teacher and the first version already; `changes` must not
    touch what these are made of."""
    shutil.copytree(_taught(), folder / "store")
    return write_config(folder, url, prefix, **changes)


def start_service(config: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """`iot-stream serve` in a process group of its own, so that all of it can be killed at once."""
    with log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "iot_stream.cli", "serve", "--config", str(config), *options],
            stdin=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def kill_service(process: subprocess.Popen[bytes]) -> None:
    """−9 for the supervisor and all parts, at the same moment."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@contextmanager
def service(config: Path, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = start_service(config, log, *options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def fleet(config: Path, folder: Path, *options: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A fleet of the world `features`."""
    return simulator(config, folder, "--world", "features", *options)


@contextmanager
def simulator(config: Path, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`iot-simulator`; its ledger is `ledger.json` in the folder."""
    command = [sys.executable, "-m", "simulator", "--config", str(config)]
    command += ["--ledger", str(folder / "ledger.json"), "--state", str(folder / "devices"), *options]
    environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
    with (folder / "simulator.log").open("ab") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Config, Store]]:
    config = load(path)
    store = Store(config.store_place)
    try:
        yield config, store
    finally:
        store.close()
