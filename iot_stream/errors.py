"""Every error that iot-stream raises on purpose, one class per owner of the fault.

IotStreamError
├── ConfigError   the user's configuration or command line
├── DataError     what a device or a recording sent; carries a countable reason
├── BrokerError   the broker, or the way to it
├── StoreError    the store: locked, full, from another version
├── ModelError    a teacher or student that cannot be built, trained or run
│   ├── TeacherAway   a teacher that cannot be reached now: its word is waited for
│   └── NotTaughtYet  a teacher that has not said enough for a first student
└── Refused       a release that a device will not take; carries a countable reason
"""

from collections.abc import Iterable


class IotStreamError(Exception):
    """Base of all: its message is written for a person and names the remedy."""

    exit_code = 1


class ConfigError(IotStreamError):
    exit_code = 2


class BrokerError(IotStreamError):
    exit_code = 3


class StoreError(IotStreamError):
    exit_code = 4


class ModelError(IotStreamError):
    exit_code = 5


class TeacherAway(ModelError):
    pass


class NotTaughtYet(ModelError):
    pass


class _Reasoned(IotStreamError):
    """An error that is also counted: `reason` is one word of a small, fixed set."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that it can be pickled
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class DataError(_Reasoned):
    exit_code = 6


class Refused(_Reasoned):
    """`version`: the release that was refused; 0 where it could not be read."""

    exit_code = 7
    version = 0


def nearest(name: str, known: Iterable[str], quote: str = "") -> str:
    """The end of a message about a name that is none: which one is meant, or which there are."""
    from difflib import get_close_matches  # only here: memory that a device needs elsewhere

    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"is {quote}{near[0]}{quote} meant?" if near else f"there are {', '.join(names) or 'none'}"
