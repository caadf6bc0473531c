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

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all: unknown names are errors."""


class Broker(Settings, frozen=True):
    url: Annotated[
        str,
        Meta(
            description="mqtt://user:password@host:1883, mqtts://…, or over websockets, where networks block "
            "these ports, ws://host:80/mqtt, wss://…; ${NAME} is taken from the environment"
        ),
    ] = "mqtt://localhost:1883"
    user: Annotated[str, Meta(description="User name")] = ""
    password: Annotated[str, Meta(description="Password; ${NAME} is taken from the environment")] = ""
    ca: Annotated[
        str, Meta(description="File of the certificate authority for mqtts and wss; default: the system's")
    ] = ""
    cert: Annotated[str, Meta(description="File of a certificate to log in with; with key")] = ""
    key: Annotated[str, Meta(description="File of the certificate's private key")] = ""

    def address(self) -> "Address":
        """Where and how to connect; raises ConfigError."""
        scheme, _, rest = self.url.partition("://")
        login, at, place = rest.rpartition("@")
        try:
            # Quoted, for a password may hold any character.
            url = urlsplit(
                f"{scheme}://{_environment(login, partial(quote, safe=''))}{at}{_environment(place)}"
            )
            port = url.port or PORTS.get(scheme, 0)
        except ValueError as error:
            raise ConfigError(f"broker: {self.url!r}: {error}") from error
        if scheme not in PORTS or not url.hostname:
            raise ConfigError(f"broker: {self.url!r} is not mqtt://host:port, or so with mqtts, ws or wss")
        if url.path.strip("/") and not scheme.startswith("ws"):
            raise ConfigError(f"broker: {self.url!r}: only ws and wss have a path")
        user = unquote(url.username) if url.username else _environment(self.user)
        password = unquote(url.password) if url.password else _environment(self.password)
        for name, file in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            if file and not Path(file).is_file():
                raise ConfigError(f"broker.{name}: no file {file}")
        if bool(self.cert) != bool(self.key):
            raise ConfigError("broker: a certificate needs its key, and a key its certificate")
        tls = scheme in ("mqtts", "wss")
        if self.cert and not tls:
            raise ConfigError(f"broker.cert: {scheme} shows no certificates; mqtts and wss do")
        path = (url.path if url.path.strip("/") else "/mqtt") if scheme.startswith("ws") else ""
        return Address(url.hostname, port, tls, user, password, self.ca, self.cert, self.key, path)


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    websocket: str = ""  # its path, for MQTT over websockets

    def __str__(self) -> str:  # without the password: this goes to logs
        scheme = "ws" if self.websocket else "mqtt"
        return f"{scheme}{'s' if self.tls else ''}://{self.host}:{self.port}{self.websocket}"


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.partition("?")[0].rpartition("@")
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{place}"


def _environment(text: str, written: Callable[[str], str] = str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigError(f"broker: the environment has no {match[1]}; export {match[1]}=… first")
        return written(os.environ[match[1]])

    return re.sub(r"\$\{(\w+)\}", value, text)
