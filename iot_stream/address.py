"""Where the broker is, and how to log in."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Meta

from iot_stream.errors import ConfigError


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all: unknown names are errors."""


class Broker(Settings, frozen=True):
    url: Annotated[
        str,
        Meta(
            description="mqtt://user:password@host:1883, or mqtts://…; ${NAME} is taken from the environment"
        ),
    ] = "mqtt://localhost:1883"
    user: Annotated[str, Meta(description="User name")] = ""
    password: Annotated[str, Meta(description="Password; ${NAME} is taken from the environment")] = ""
    ca: Annotated[
        str, Meta(description="File of the certificate authority for mqtts; default: the system's")
    ] = ""

    def address(self) -> "Address":
        """Where and how to connect; raises ConfigError."""
        scheme, _, rest = self.url.partition("://")
        login, at, place = rest.rpartition("@")
        try:
            # Quoted, for a password may hold any character.
            url = urlsplit(
                f"{scheme}://{_environment(login, partial(quote, safe=''))}{at}{_environment(place)}"
            )
            port = url.port or (8883 if scheme == "mqtts" else 1883)
        except ValueError as error:
            raise ConfigError(f"broker: {self.url!r}: {error}") from error
        if scheme not in ("mqtt", "mqtts") or not url.hostname:
            raise ConfigError(f"broker: {self.url!r} is not mqtt://host:port or mqtts://host:port")
        user = unquote(url.username) if url.username else _environment(self.user)
        password = unquote(url.password) if url.password else _environment(self.password)
        if self.ca and not Path(self.ca).is_file():
            raise ConfigError(f"broker.ca: no file {self.ca}")
        return Address(url.hostname, port, scheme == "mqtts", user, password, self.ca)


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = ""
    ca: str = ""

    def __str__(self) -> str:  # without the password: this goes to logs
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}"


def _environment(text: str, written: Callable[[str], str] = str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigError(f"broker: the environment has no {match[1]}; export {match[1]}=… first")
        return written(os.environ[match[1]])

    return re.sub(r"\$\{(\w+)\}", value, text)
