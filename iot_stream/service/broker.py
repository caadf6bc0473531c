"""A broker of our own for demos and tests: mosquitto where there is one, else an embedded one.

    with start(Path("runs/demo/broker")) as broker:
        connect(broker.url)

The broker is a child process on a free loopback port. It dies with its parent, however that ends.
A real installation runs mosquitto as a service of the system, with the same `mosquitto.conf`.
"""

import getpass
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from iot_stream.errors import BrokerError

Kind = Literal["auto", "mosquitto", "embedded"]

log = logging.getLogger(__name__)

# Linked beside this file, so that a clone and an installed package find the one text.
DEFAULT_CONF = Path(__file__).with_name("mosquitto.conf")

START_TIMEOUT = 10.0
STOP_TIMEOUT = 10.0
WATCH_INTERVAL = 2.0
PROBE_TIMEOUT = 5.0

# Ends the broker when standard input closes, which the kernel sees to even if the parent is killed.
_GUARD = """
exec 3<&0
"$@" 0</dev/null 3<&- & broker=$!
(cat <&3; kill $broker 2>/dev/null) &
exec 3<&-
wait $broker
"""

# MQTT 5: CONNECT with a clean start, keep-alive of 5 s and a client id of 14 bytes; DISCONNECT.
_CONNECT = b"\x10\x1b\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x0eprobe-%s"
_DISCONNECT = b"\xe0\x00"
_CONNACK = 0x20

EMBEDDED_LIMITS = (
    "embedded broker, for the demo only: nothing survives its restart, its memory grows with the traffic, "
    "a wildcard gets at most 100 retained messages; MQTT 3.1.1 clients use port {port}"
)

_RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 10
"""
# Keep its max_payload_size in step with mosquitto.conf's max_packet_size.
_RUMQTTD_LISTENER = """\
[v{version}.1]
name = "v{version}"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 16777216
max_inflight_count = 1000
dynamic_filters = true
"""
# It logs each message as an error; what ends it still goes to standard error.
_RUN_EMBEDDED = """\
import logging, sys
from iotcore import IotCoreBroker
logging.disable()
IotCoreBroker(config_path=sys.argv[1]).run_forever()
"""


class Broker:
    """A running broker. `start` makes one; leave its `with` block, or call `stop`, to end it.

    Attributes:
        url: where clients connect, `mqtt://127.0.0.1:PORT`.
        name: which broker this is, such as "mosquitto 2.0.11".
        limits: one line for the screen on what this broker cannot do; empty for mosquitto.
        durable: whether sessions, queues and retained messages survive a restart.
        restarts: how often it was started again because it had died or, if embedded, no longer answered.
        log_file: what it says of itself.
    """

    def __init__(self, name: str, command: list[str], port: int, directory: Path, limits: str = "") -> None:
        self.name = name
        self.url = f"mqtt://127.0.0.1:{port}"
        self.port = port
        self.limits = limits
        self.durable = not limits
        self.restarts = 0
        self.log_file = directory / "broker.log"
        self._command = command
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="broker-watch", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def open(self) -> Self:
        """Start the process, wait until it answers MQTT, and watch it from then on."""
        self._launch()
        self._watcher.start()
        return self

    def restart(self) -> None:
        """Stop it in good order and start it again on the same port and directory."""
        with self._lock:
            self._end()
            self._launch()

    def stop(self) -> None:
        """End it; mosquitto writes its state first. A second call does nothing."""
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join()
        with self._lock:
            self._end()

    def answers(self) -> bool:
        """Whether the process lives and accepts an MQTT connection."""
        return (
            self._process is not None
            and self._process.poll() is None
            and probe("127.0.0.1", self.port, PROBE_TIMEOUT)
        )

    def _launch(self) -> None:
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", *self._command],
                cwd=self._directory,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us: the broker goes last, when we say so
            )
        if not _wait_until(self.answers, START_TIMEOUT, lambda: self._process_ended):
            self._end()
            raise BrokerError(
                f"{self.name} did not start on port {self.port}: {self._last_words()} (see {self.log_file})"
            )

    def _end(self, *, hung: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(0 if hung else STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_INTERVAL):
            with self._lock:
                if self._well():
                    continue
                self._end(hung=True)
                lost = "" if self.durable else "; it keeps nothing on disk, so what it held is lost"
                log.warning("%s no longer answered and is started again%s", self.name, lost)
                self.restarts += 1
                try:
                    self._launch()
                except BrokerError as error:
                    log.warning("%s", error)  # tried again at the next turn

    def _well(self) -> bool:
        """A mosquitto that does not answer is busy: thousands who come at once take it seconds. The embedded
        one may hang; it gets a second chance."""
        return not self._process_ended and (self.durable or self.answers() or self.answers())

    @property
    def _process_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"


def start(directory: Path, conf: Path | None = None, kind: Kind = "auto") -> Broker:
    """Start a broker that keeps its state and log in `directory`, and wait until it answers.

    Args:
        directory: made if absent. Started again there, mosquitto goes on with what it had.
        conf: mosquitto's settings without a listener; the project's `mosquitto.conf` by default.
        kind: "auto" takes mosquitto where it is found, else the embedded broker.

    Raises:
        BrokerError: no broker is installed, or it does not start; says what to install or read.
    """
    mosquitto, embedded = find_mosquitto(), find_spec("iotcore") is not None
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if mosquitto and kind != "embedded":
        return _mosquitto(mosquitto, directory, conf or DEFAULT_CONF).open()
    if embedded and kind != "mosquitto":
        return _embedded(directory).open()
    remedy = {
        "auto": "install mosquitto (apt install mosquitto) or an embedded one (pip install iot-stream[demo])",
        "mosquitto": "install it (apt install mosquitto)",
        "embedded": "install it (pip install iot-stream[demo])",
    }[kind]
    raise BrokerError(f"no {'' if kind == 'auto' else kind + ' '}broker found: {remedy}")


def find_mosquitto() -> str | None:
    """The path of the mosquitto program, also where Debian puts it outside a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def probe(host: str, port: int, timeout: float = PROBE_TIMEOUT) -> bool:
    """Whether an MQTT 5 broker accepts a connection: CONNECT is answered by CONNACK, reason 0.

    A plain TCP connection would not do: a broker may accept those and be dead behind them.
    """
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(_CONNECT % os.urandom(4).hex().encode())
            kind, length = connection.recv(2, socket.MSG_WAITALL)
            body = connection.recv(length, socket.MSG_WAITALL)
            connection.sendall(_DISCONNECT)
    except (OSError, ValueError):  # no connection, or one that closes without an answer
        return False
    return kind == _CONNACK and len(body) == length and body[1] == 0


def _mosquitto(program: str, directory: Path, conf: Path) -> Broker:
    # Started by root, mosquitto becomes the user "mosquitto", who may not write here.
    own_conf = directory / "mosquitto.conf"
    own_conf.write_text(f"{conf.read_text()}\nuser {getpass.getuser()}\n")
    port = free_port()
    command = [program, "-c", str(own_conf), "-p", str(port)]
    return Broker(f"mosquitto {_version(program)}", command, port, directory)


def _embedded(directory: Path) -> Broker:
    port, port_311 = free_port(), free_port()
    conf = directory / "rumqttd.toml"
    listeners = [
        _RUMQTTD_LISTENER.format(version=number, port=at) for number, at in ((5, port), (4, port_311))
    ]
    conf.write_text(_RUMQTTD + "".join(listeners))
    command = [sys.executable, "-I", "-c", _RUN_EMBEDDED, str(conf)]
    limits = EMBEDDED_LIMITS.format(port=port_311)
    return Broker(f"iotcore {version('iotcore')}", command, port, directory, limits)


def _version(program: str) -> str:
    """`mosquitto -h` begins with "mosquitto version 2.0.11" and exits with 3."""
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found.group(1) if found else "of unknown version"


def free_port() -> int:
    """Of loopback; free when it was asked for."""
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


def _wait_until(ready: Callable[[], bool], timeout: float, give_up: Callable[[], bool]) -> bool:
    """Ask again every 20 ms until `ready`, `give_up` or the timeout (seconds)."""
    pause = threading.Event()
    for _ in range(int(timeout / 0.02)):
        if ready():
            return True
        if give_up():
            return False
        pause.wait(0.02)
    return False
