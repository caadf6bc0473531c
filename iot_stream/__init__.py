"""Keeps the small model on every device as good as the big model in the cloud.

From Python:

    import iot_stream

    office = iot_stream.open("examples/occupancy/config.yml", store="sqlite:runs/office")
    office.read_recordings()
    for batch in office.batches():
        batch.x, batch.labels

What stands here is loaded when it is first used, and torch when a round is run: a device imports this package
too, and has room for neither.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iot_stream.api.opened import Opened, open
    from iot_stream.api.student import Prediction, Student
    from iot_stream.errors import IotStreamError
    from iot_stream.store.batches import Batch
    from iot_stream.store.registry import Round, Version

__all__ = ["Batch", "IotStreamError", "Opened", "Prediction", "Round", "Student", "Version", "open"]

_HOMES = {
    "Batch": "iot_stream.store.batches",
    "IotStreamError": "iot_stream.errors",
    "Opened": "iot_stream.api.opened",
    "Prediction": "iot_stream.api.student",
    "Round": "iot_stream.store.registry",
    "Student": "iot_stream.api.student",
    "Version": "iot_stream.store.registry",
    "open": "iot_stream.api.opened",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
