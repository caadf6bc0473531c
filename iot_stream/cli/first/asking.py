"""Questions that `iot-stream init` asks."""

from collections.abc import Callable

from iot_stream.errors import ConfigError

Ask = Callable[[str, str, str], str]
"""Question, what the option says, default."""


def listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def whole(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{text!r} is no number of readings; write 64, say")
    return int(text)
