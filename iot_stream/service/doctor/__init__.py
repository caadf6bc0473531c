"""Looks at a deployment from outside, and says what to mend.

It changes nothing: on the broker it speaks on topics of its own, in the store it reads.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from iot_stream.config import Config
from iot_stream.errors import IotStreamError
from iot_stream.service.doctor import broker, disk, fleet, keys, pitfalls, store
from iot_stream.service.doctor.findings import Finding, failed

CHECKS: tuple[Callable[[Config, Path], Iterator[Finding]], ...] = (
    pitfalls.check,
    broker.check,
    keys.check,
    store.check,
    disk.check,
    fleet.check,
)


def examine(config: Config, path: Path) -> Iterator[Finding]:
    """Every check, one after the other; what one of them dies of is a finding too.

    path: the configuration's.
    """
    for check in CHECKS:
        try:
            yield from check(config, path)
        except IotStreamError as error:
            name = check.__module__.rpartition(".")[2]
            yield failed(name, str(error), "mend this first, then look again")
