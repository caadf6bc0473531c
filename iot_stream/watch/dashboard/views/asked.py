"""What a page asks for: the words after the question mark of its address."""

from collections.abc import Mapping

from iot_stream.clock import SECOND
from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError

Query = Mapping[str, str]

MOST = 1e10  # beyond all times in seconds since 1970, and all that is counted


def number(query: Query, name: str, otherwise: float) -> float:
    """Raises ConfigError."""
    if name not in query:
        return otherwise
    try:
        found = float(query[name])
    except ValueError:
        found = MOST + 1
    if not abs(found) <= MOST:  # neither what is no number at all
        raise ConfigError(f"{name}: {query[name]!r} is no number")
    return found


def cohort(query: Query) -> str:
    return query.get("cohort", ALL)


def seconds(time_ns: int) -> float:
    """Since 1970, to the microsecond: what a page can count with."""
    return round(time_ns / SECOND, 6)
