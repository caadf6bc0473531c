"""Windows in a store, and what was said of them."""

import numpy as np

from iot_stream.config import Config
from iot_stream.store import Store
from iot_stream.windows import Windows
from tests.service.running import NAME
from tests.watch.stores import speak


def cut(store: Store, config: Config, device: str, end: int, arrived: int | None = None) -> None:
    """One window of a device, of which nobody has said anything yet."""
    pipeline = config.pipelines[NAME]
    of = pipeline.cut(pipeline.student)
    x = np.zeros((1, of.length, len(of.inputs)), np.float32)
    window = Windows(np.array([end - 1]), np.array([end]), x)
    with store.write() as tx:
        store.journal.add_windows(tx, NAME, of.id, [(device, window, end if arrived is None else arrived)])


def tell(
    store: Store, config: Config, device: str, end: int, truth: int | None = None, **said: int | None
) -> None:
    """One window with its label, and the class that each model names; None: it says nothing."""
    cut(store, config, device, end)
    speak(store, device, end, truth, **said)
