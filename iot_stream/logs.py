"""What programs log on standard error: lines for people, or one JSON object a line for what collects them.

Which of the two the environment says, `IOT_STREAM_LOG=json`, so that programs started by programs do so too.
"""

import logging
import os
import sys
import threading
from typing import Any

import msgspec

from iot_stream.clock import SECOND, iso
from iot_stream.errors import ConfigError

ENVIRONMENT = "IOT_STREAM_LOG"
TEXT, JSON = KINDS = ("text", "json")

_ALWAYS: dict[str, object] = {}


def about(**what: object) -> dict[str, dict[str, object]]:
    """`extra` of a log call: which pipeline, cohort, round, version or device it is about. What is empty is
    left out."""
    return {"about": {name: value for name, value in what.items() if value}}


def always(**what: object) -> None:
    """All that this process logs is about it."""
    _ALWAYS.update(what)


class Lines(logging.Formatter):
    """A JSON object a record: time (UTC), level, logger, message, what it is about, and an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": iso(int(record.created * SECOND)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _ALWAYS | getattr(record, "about", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(level: int, text: str, kind: str = "") -> None:
    """`text`: the format of lines for people. Raises ConfigError if the environment asks for another kind."""
    kind = kind or os.environ.get(ENVIRONMENT) or TEXT
    if kind not in KINDS:
        raise ConfigError(f"{ENVIRONMENT}: {kind!r} is neither {TEXT} nor {JSON}")
    os.environ[ENVIRONMENT] = kind
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines() if kind == JSON else logging.Formatter(text))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("tuf").setLevel(logging.WARNING)  # it tells of each key that has not signed
    if kind == JSON:
        sys.excepthook = lambda *error: _died(error)
        threading.excepthook = lambda died: _died((died.exc_type, died.exc_value, died.exc_traceback))


def _died(error: Any) -> None:
    if error[0] is not SystemExit:  # a thread may end by it, and nothing has happened
        logging.getLogger(__package__).critical("died of what it did not expect", exc_info=error)


def tell(program: str, what: str, level: int = logging.WARNING) -> None:
    """To whoever started the program: as it stands, or as a line like all others."""
    if os.environ.get(ENVIRONMENT) == JSON:
        logging.getLogger(program).log(level, what)
    else:
        sys.stderr.write(f"{program}: {what}\n")
