"""Where the broker is, and how to log in."""

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Meta

from iot_stream.errors import ConfigError

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
FILES = ("ca", "cert", "key", "password_file", "logins")
PEM = "-----BEGIN"
DEVICES = "devices"  # folder of their logins, in that of the parts'


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
    password_file: Annotated[
        str, Meta(description="File that has the password alone in it, in place of `password`")
    ] = ""
    ca: Annotated[
        str,
        Meta(
            description="File of the certificate authority for mqtts and wss, or its certificate as PEM; "
            "default: the system's"
        ),
    ] = ""
    cert: Annotated[str, Meta(description="File of a certificate to log in with; with key")] = ""
    key: Annotated[str, Meta(description="File of the certificate's private key")] = ""
    logins: Annotated[
        str,
        Meta(
            description="Folder with a login for each part of the service, as `iot-stream broker-acl` writes "
            "it; in place of all else here"
        ),
    ] = ""

    def beside(self, folder: Path) -> "Broker":
        """With its files where the file is that names them."""
        given = {name: getattr(self, name) for name in FILES}
        placed = {name: str(folder / file) for name, file in given.items() if file and PEM not in file}
        return msgspec.structs.replace(self, **placed)

    def login(self, who: str) -> "Broker":
        """What a part of the service, or a device, logs in with: its own, where there is a folder of logins.

        Raises ConfigError.
        """
        if not self.logins:
            return self
        file = Path(self.logins) / f"{who}.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=Broker).beside(file.parent)
        except OSError as error:
            raise ConfigError(
                f"broker.logins: {file}: {error.strerror}; `iot-stream broker-acl` makes logins"
            ) from error
        except msgspec.DecodeError as error:
            raise ConfigError(f"broker.logins: {file}: {error}") from error

    def address(self) -> "Address":
        """Where and how to connect; raises ConfigError."""
        if self.logins:
            raise ConfigError(f"broker.logins: {self.logins} has a login for each part, none for all")
        scheme, _, rest = self.url.partition("://")
        login, at, place = rest.rpartition("@")
        try:
            # Quoted, for a password may hold any character.
            url = urlsplit(
                f"{scheme}://{environment(login, written=partial(quote, safe=''))}{at}{environment(place)}"
            )
            port = url.port or PORTS.get(scheme, 0)
        except ValueError as error:
            raise ConfigError(f"broker: {self.url!r}: {error}") from error
        if scheme not in PORTS or not url.hostname:
            raise ConfigError(f"broker: {self.url!r} is not mqtt://host:port, or so with mqtts, ws or wss")
        if url.path.strip("/") and not scheme.startswith("ws"):
            raise ConfigError(f"broker: {self.url!r}: only ws and wss have a path")
        user = unquote(url.username) if url.username else environment(self.user)
        password = unquote(url.password) if url.password else self._password()
        for name in ("ca", "cert", "key"):
            file = getattr(self, name)
            if file and PEM not in file and not Path(file).is_file():
                raise ConfigError(f"broker.{name}: no file {file}")
        if bool(self.cert) != bool(self.key):
            raise ConfigError("broker: a certificate needs its key, and a key its certificate")
        tls = scheme in ("mqtts", "wss")
        if self.cert and not tls:
            raise ConfigError(f"broker.cert: {scheme} shows no certificates; mqtts and wss do")
        path = (url.path if url.path.strip("/") else "/mqtt") if scheme.startswith("ws") else ""
        return Address(url.hostname, port, tls, user, password, self.ca, self.cert, self.key, path)

    def _password(self) -> str:
        if not self.password_file:
            return environment(self.password)
        if self.password:
            raise ConfigError("broker: a password, or a password_file, not both")
        try:
            return Path(self.password_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"broker.password_file: {self.password_file}: {error}") from error


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    cert: str = ""
    key: str = ""
    websocket: str = ""  # its path, for MQTT over websockets

    def __str__(self) -> str:  # without the password: this goes to logs
        scheme = "ws" if self.websocket else "mqtt"
        return f"{scheme}{'s' if self.tls else ''}://{self.host}:{self.port}{self.websocket}"

    def tls_context(self) -> ssl.SSLContext:
        """What the broker's certificate is checked with; raises ConfigError."""
        text = self.ca if PEM in self.ca else None
        try:
            context = ssl.create_default_context(cafile=None if text else self.ca or None, cadata=text)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ValueError) as error:
            raise ConfigError(f"broker: ca, cert or key: {error}") from error
        return context


def login_name(device: str) -> str:
    """A device's name as it stands in user names and files: password files split at colons."""
    return re.sub(r"[^\w.@-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), device)


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.partition("?")[0].rpartition("@")
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{place}"


def environment(text: str, setting: str = "broker", written: Callable[[str], str] = str) -> str:
    """With each ${NAME} from the environment; raises ConfigError, which names the setting."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigError(f"{setting}: the environment has no {match[1]}; export {match[1]}=… first")
        return written(os.environ[match[1]])

    return re.sub(r"\$\{(\w+)\}", value, text)
