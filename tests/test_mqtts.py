"""mqtts and websockets, with a certificate authority of one's own, and certificates to log in with."""

import getpass
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from iot_stream.address import Broker as BrokerSettings
from iot_stream.config import load
from iot_stream.errors import BrokerError
from iot_stream.ingest.receiver import receiver
from iot_stream.mqtt import Connection, Message
from iot_stream.presence import Presence
from iot_stream.service.broker import DEFAULT_CONF, find_mosquitto
from tests.cli.test_commands import run
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="the embedded broker has no TLS")


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    authority: bool,
) -> bytes:
    now = datetime.now(UTC)
    named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(named[0])
        .issuer_name(named[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _authority(folder: Path, name: str) -> tuple[Path, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / f"{name}.crt"
    path.write_bytes(_certificate(name, key, name, key, authority=True))
    return path, key


def _written(folder: Path, name: str, signer: ec.EllipticCurvePrivateKey) -> None:
    """name.crt, which `ours` signed, and name.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = "localhost" if name == "server" else name
    (folder / f"{name}.crt").write_bytes(_certificate(named, key, "ours", signer, authority=False))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@contextmanager
def _mosquitto(folder: Path, listener: str, tls: bool = True) -> Iterator[int]:
    """A mosquitto on a free port; its authority is `ours.crt`, and `other.crt` is not."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    certificates = f"certfile {folder / 'server.crt'}\nkeyfile {folder / 'server.key'}\n" if tls else ""
    conf = folder / "tls.conf"
    conf.write_text(
        # mosquitto 2.0.11 does not start with a listener for websockets alone.
        f"{DEFAULT_CONF.read_text()}\nlistener 0 {folder / 'socket'}\nlistener {number} 127.0.0.1\n"
        f"allow_anonymous true\nuser {getpass.getuser()}\n{certificates}{listener}"
    )
    program = find_mosquitto()
    assert program is not None
    broker = subprocess.Popen([program, "-c", str(conf)], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(number), "mosquitto's port")
        yield number
    finally:
        broker.terminate()
        broker.wait(10)


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A folder with the authorities and the certificates of server and pump."""
    _, signer = _authority(tmp_path, "ours")
    _authority(tmp_path, "other")
    _written(tmp_path, "server", signer)
    _written(tmp_path, "pump", signer)
    return tmp_path


@pytest.fixture
def port(certified: Path) -> Iterator[int]:
    with _mosquitto(certified, "") as number:
        yield number


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _echoed(settings: BrokerSettings, prefix: str) -> None:
    heard: SimpleQueue[Message] = SimpleQueue()
    connection = Connection(settings.address(), prefix, heard.put)
    connection.subscribe(f"{prefix}/x")
    connection.start()
    try:
        connection.publish_and_wait(f"{prefix}/x", b"secret")
        assert heard.get(timeout=10).payload == b"secret"
    finally:
        connection.stop()


def test_messages_pass_under_the_right_authority(port: int, tmp_path: Path, prefix: str) -> None:
    _echoed(BrokerSettings(url=f"mqtts://localhost:{port}", ca=str(tmp_path / "ours.crt")), prefix)


@pytest.mark.parametrize("path", ["", "/mqtt", "/behind/a/proxy"])
def test_messages_pass_over_websockets(certified: Path, prefix: str, path: str) -> None:
    with _mosquitto(certified, "protocol websockets\n", tls=False) as number:
        _echoed(BrokerSettings(url=f"ws://127.0.0.1:{number}{path}"), prefix)


def test_messages_pass_over_websockets_with_tls(certified: Path, prefix: str) -> None:
    with _mosquitto(certified, "protocol websockets\n") as number:
        settings = BrokerSettings(url=f"wss://localhost:{number}", ca=str(certified / "ours.crt"))
        _echoed(settings, prefix)


def test_a_certificate_logs_in_where_the_broker_wants_one(certified: Path, prefix: str) -> None:
    wanted = f"require_certificate true\ncafile {certified / 'ours.crt'}\n"
    files = {"ca": str(certified / "ours.crt")}
    own = {"cert": str(certified / "pump.crt"), "key": str(certified / "pump.key")}
    with _mosquitto(certified, wanted) as number:
        _echoed(BrokerSettings(url=f"mqtts://localhost:{number}", **files, **own), prefix)
        with pytest.raises(BrokerError, match="no connection to mqtts"):
            Connection(
                BrokerSettings(url=f"mqtts://localhost:{number}", **files).address(), "x", lambda _: None
            ).start()


# paho leaves the socket of a failed handshake to the garbage collector.
unclosed = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
AUTHORITY = "name the authority that signed its certificate: --ca, or `ca` under `broker:`"


@unclosed
@pytest.mark.parametrize("ca", ["other.crt", ""])
def test_a_broker_that_the_authority_does_not_know_is_refused(port: int, tmp_path: Path, ca: str) -> None:
    settings = BrokerSettings(url=f"mqtts://localhost:{port}", ca=str(tmp_path / ca) if ca else "")
    refused = rf"no connection to mqtts://localhost:{port}: .*certificate.*; {re.escape(AUTHORITY)}$"
    with pytest.raises(BrokerError, match=refused):
        Connection(settings.address(), "x", lambda _: None).start()
    with pytest.raises(BrokerError, match=refused):
        receiver(settings.address(), "x", ["#"], Presence("x", "collector")).start()


def test_a_broker_of_another_name_is_refused(port: int, tmp_path: Path) -> None:
    address = BrokerSettings(url=f"mqtts://127.0.0.1:{port}", ca=str(tmp_path / "ours.crt")).address()
    with pytest.raises(BrokerError, match=r"; reach the broker by a name that its certificate has$"):
        receiver(address, "x", ["#"], Presence("x", "collector")).start()


@unclosed
def test_who_waits_for_the_broker_says_that_it_cannot_trust_it(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As a device does that has a model already."""
    connection = Connection(BrokerSettings(url=f"mqtts://localhost:{port}").address(), "pump", lambda _: None)
    connection.start(patient=True)
    try:
        wait_until(lambda: f"{AUTHORITY}; trying again: pump" in caplog.text, "the log")
    finally:
        connection.stop()


def test_a_first_configuration_names_the_authority(
    certified: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside itself, wherever it is written from."""
    folder = certified / "plant"
    folder.mkdir()
    for name in ("ours.crt", "pump.crt", "pump.key"):
        (certified / name).rename(folder / name)
    monkeypatch.chdir(certified)
    path = folder / "iot-stream.yml"
    files = ["--ca", "plant/ours.crt", "--cert", "plant/pump.crt", "--key", "plant/pump.key"]
    wanted = f"require_certificate true\ncafile {folder / 'ours.crt'}\n"
    with _mosquitto(certified, wanted) as number:
        at = ["--broker", f"mqtts://localhost:{number}", "--seconds", "1", "--filter", f"{prefix}/#"]
        settings = BrokerSettings(url=f"mqtts://localhost:{number}", ca=files[1], cert=files[3], key=files[5])
        sensor = Connection(settings.address(), prefix, lambda _: None)
        sensor.start()
        sensor.publish_and_wait(f"{prefix}/room/air", b'{"co2": 812}', retain=True)
        sensor.stop()
        told = run("init", "--yes", "--config", str(path), *at, code=3).stderr
        assert f"{AUTHORITY}\n" in told
        assert "is the broker running" not in told
        run("init", "--yes", "--config", str(path), *at, *files)
    config = load(path)
    assert "ca: ours.crt, cert: pump.crt, key: pump.key}" in path.read_text()
    assert config.address.ca == str(folder / "ours.crt")
    assert dict(config.pipelines["main"].sources[0].channels) == {"co2": "$.co2"}
