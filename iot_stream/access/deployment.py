"""A folder with all that lets a fleet in, made once and added to.

    DIR/
    ├── access.json     who there is, and the hashes of their passwords: what all else is written from
    ├── authority/      ca.key signs the broker's certificate: keep it offline; needed to renew or rename
    ├── broker/         what mosquitto reads: its configuration, certificate, passwords, rules
    └── logins/         a file for each part of the service, devices/PIPELINE/ one for each device

A login holds a password; nothing else here does. It goes to the machine that it is for.
"""

import fcntl
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from iot_stream.access import certificates, mosquitto, rules
from iot_stream.access.files import PRIVATE, write
from iot_stream.access.rules import Rule
from iot_stream.address import DEVICES, Broker, login_name
from iot_stream.config import Config
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import check_device_name

LOOPBACK = "localhost"
FILE = "access.json"
INPUT = "/input"  # a gateway's second login
ROOT = 0  # mosquitto, started by it, reads as the user mosquitto
FLEET, SERVICE = "fleet", "service"  # the two listeners


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """`kind`: a part of the service, a reader, what speaks for sensors, a device, or a gateway's input."""

    password: str  # hashed
    kind: Literal["part", "reader", "sensor", "device", "input"]
    pipeline: str = ""
    device: str = ""


class Access(msgspec.Struct, omit_defaults=True):
    """`hosts`: names of the broker, the first is told to devices; `service_host` to parts of the service.
    `at`: where the broker finds its files; `state`: where it keeps its own."""

    hosts: tuple[str, ...]
    service_host: str = LOOPBACK
    port: int = 8883
    service_port: int = 8884
    at: str = ""
    state: str = ""
    logins: dict[str, Login] = {}


class Deployment:
    """Use `opened`: two at once would lose what one of them added."""

    def __init__(self, folder: Path, config: Config, access: Access) -> None:
        self._folder, self._config, self.access = folder, config, access
        self._passwords: dict[str, str] = {}  # of those that are new

    @property
    def broker_folder(self) -> Path:
        return self._folder / "broker"

    @property
    def reload(self) -> str:
        """The command that has the broker take up what was written."""
        folder, steps = shlex.quote(str(self.broker_folder)), ["systemctl reload mosquitto"]
        if self.access.at and Path(self.access.at).resolve() != self.broker_folder.resolve():
            at = shlex.quote(self.access.at)
            steps.insert(0, f"install -D -o mosquitto -m 600 -t {at} {folder}/*")
        elif (self.broker_folder / f"{FLEET}.passwd").stat().st_uid == ROOT:
            steps.insert(0, f"chown -R mosquitto: {folder}")
        return " && ".join(steps)

    @property
    def new(self) -> list[str]:
        return sorted(self._passwords)

    def add(self, name: str, kind: Literal["part", "reader", "sensor"]) -> None:
        """A part of the service, a reader or what speaks for sensors, if it is not there."""
        if not name or login_name(name) != name:
            raise ConfigError(f"{name!r} is no name to log in with; letters, digits, . - and _")
        known = self.access.logins.get(name)
        if known is None:
            self._add(name, Login("", kind))
        elif known.kind != kind:
            raise ConfigError(f"{name} is a {known.kind} already; name the {kind} otherwise")

    def add_device(self, pipeline: str, device: str) -> None:
        """And what its gateway listens with, where the service reads a sensor's own topic."""
        try:
            check_device_name(device)
        except DataError as error:
            raise ConfigError(f"{device!r}: {error.detail}") from error
        user = f"{pipeline}/{login_name(device)}"
        if user not in self.access.logins:
            self._add(user, Login("", "device", pipeline, device))
        if rules.of_input(self._config, pipeline, device) and user + INPUT not in self.access.logins:
            self._add(user + INPUT, Login("", "input", pipeline, device))

    def _add(self, user: str, login: Login) -> None:
        password = secrets.token_urlsafe(32)
        self._passwords[user] = password
        self.access.logins[user] = msgspec.structs.replace(login, password=mosquitto.hashed(password))

    def revoke(self, name: str) -> list[str]:
        """Any of `add`, or a device: PIPELINE/NAME, or NAME where one has it. Returns who is gone."""
        logins = self.access.logins
        pipelines = sorted(
            {
                login.pipeline
                for user, login in logins.items()
                if name in (login.device, user) and login.device
            }
        )
        if len(pipelines) > 1:
            raise ConfigError(f"--revoke: {name} is in {', '.join(pipelines)}; write PIPELINE/{name}")
        gone = [
            user
            for user, login in logins.items()
            if name == user or user == name + INPUT or (login.device == name and name not in logins)
        ]
        if not gone:
            raise ConfigError(f"--revoke: nobody is called {name}; {self._folder / FILE} names all")
        for user in gone:
            del logins[user]
            self._passwords.pop(user, None)
            self._login_file(user).unlink(missing_ok=True)
        return gone

    def login(self, pipeline: str, device: str) -> tuple[Broker, Broker | None]:
        """What a device logs in with, and its input; raises ConfigError if these files are not here."""
        user = f"{pipeline}/{login_name(device)}"
        listens = user + INPUT in self.access.logins
        return self._login(user), self._login(user + INPUT) if listens else None

    def _login(self, user: str) -> Broker:
        return Broker(logins=str(self._folder / "logins")).login(_place(user))

    # --- what is written --------------------------------------------------------------------

    def write(self) -> None:
        """The state last: if it fails half-way, the next run writes all again."""
        certificate = self._certified()
        at = Path(self.access.at) if self.access.at else self.broker_folder.resolve()
        logins = self.access.logins
        core = {user: login for user, login in logins.items() if _is_core(user, login)}
        fleet = {user: login for user, login in logins.items() if user not in core}
        common = (Path(__file__).parent.parent / "service" / "mosquitto.conf").read_text()
        bind = "127.0.0.1" if self.access.service_host == LOOPBACK else ""
        listeners = [
            mosquitto.listener(FLEET, self.access.port, "", at, one_connection=True),
            mosquitto.listener(SERVICE, self.access.service_port, bind, at, one_connection=False),
        ]
        conf = mosquitto.configuration(common, self.access.state, listeners)
        for user in self._known_here():
            self._write_login(user, certificate)
        write(self.broker_folder / "mosquitto.conf", conf.encode(), 0o644)
        for name, users in ((FLEET, fleet), (SERVICE, core)):
            hashes = {user: login.password for user, login in users.items()}
            allowed = {user: self._rules(user, login) for user, login in users.items()}
            write(self.broker_folder / f"{name}.passwd", mosquitto.passwords(hashes).encode(), PRIVATE)
            write(self.broker_folder / f"{name}.acl", mosquitto.rules(allowed).encode(), PRIVATE)
        write(self._folder / FILE, msgspec.json.format(msgspec.json.encode(self.access)), PRIVATE)

    def _rules(self, user: str, login: Login) -> list[Rule]:
        if login.kind == "part":
            return rules.of_part(user, self._config)
        if login.kind == "reader":
            return rules.of_reader(self._config)
        if login.kind == "sensor":
            return rules.of_part("sensors", self._config)
        if login.pipeline not in self._config.pipelines:
            return []
        of = rules.of_device if login.kind == "device" else rules.of_input
        return of(self._config, login.pipeline, login.device)

    def _certified(self) -> str:
        """The authority's certificate, after seeing to it that the broker has one under it."""
        kept, broker = self._folder / "authority", self.broker_folder
        if not (broker / "ca.crt").exists():
            certificate, key = certificates.authority()
            write(kept / "ca.key", key, PRIVATE)
            write(broker / "ca.crt", certificate, 0o644)
        authority = (broker / "ca.crt").read_bytes()
        hosts = tuple(dict.fromkeys((*self.access.hosts, self.access.service_host, LOOPBACK, "127.0.0.1")))
        own = broker / "server.crt"
        old = own.read_bytes() if own.exists() else b""
        soon = datetime.now(UTC) + certificates.RENEW_BEFORE
        if not old or certificates.ends(old) < soon or not set(hosts) <= certificates.names(old):
            try:
                signing = (kept / "ca.key").read_bytes()
                certificate, key = certificates.server((authority, signing), hosts)
            except OSError as error:
                raise ConfigError(
                    f"{kept / 'ca.key'}: {error.strerror}; bring the authority's key back for a moment: the "
                    "broker needs a new certificate"
                ) from error
            except ValueError as error:
                raise ConfigError(f"--hosts: {error}") from error
            write(broker / "server.key", key, PRIVATE)
            write(own, certificate, 0o644)
        return authority.decode()

    def _known_here(self) -> list[str]:
        """Users whose login can be written: the new ones, and those whose file lies here still."""
        return [
            user for user in self.access.logins if user in self._passwords or self._login_file(user).exists()
        ]

    def _write_login(self, user: str, certificate: str) -> None:
        password = self._passwords.get(user) or self._login(user).password
        core = _is_core(user, self.access.logins[user])
        host = self.access.service_host if core else self.access.hosts[0]
        port = self.access.service_port if core else self.access.port
        named = f"[{host}]" if ":" in host else host
        url = f"mqtts://{named}:{port}"
        login = {"url": url, "user": user, "password": password, "ca": certificate}
        write(self._login_file(user), msgspec.json.format(msgspec.json.encode(login)) + b"\n", PRIVATE)

    def _login_file(self, user: str) -> Path:
        return self._folder / "logins" / f"{_place(user)}.json"


@contextmanager
def opened(folder: Path, config: Config, **changes: object) -> Iterator[Deployment]:
    """A deployment, new or as it was left; written at the end, unless that raises. Raises ConfigError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / FILE
        try:
            access = msgspec.json.decode(file.read_bytes(), type=Access)
        except FileNotFoundError:
            access = Access(())
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{file}: {error}; restore it, or begin in an empty folder") from error
        given = {name: value for name, value in changes.items() if value not in (None, ())}
        access = msgspec.structs.replace(access, **given)
        if not access.hosts:
            raise ConfigError(
                "--hosts: by which names do devices reach the broker? The first is told to them"
            )
        deployment = Deployment(folder, config, access)
        yield deployment
        deployment.write()


def _is_core(user: str, login: Login) -> bool:
    return login.kind == "part" and user.partition("-")[0] in rules.CORE


def _place(user: str) -> str:
    """Of its login, among all: parts have no / in their names."""
    return f"{DEVICES}/{user}" if "/" in user else user
