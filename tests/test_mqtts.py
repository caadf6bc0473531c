"""mqtts and websockets, with a certificate authority of one's own, and certificates to log in with."""

import getpass
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
from iot_stream.errors import BrokerError
from iot_stream.mqtt import Connection, Message
from iot_stream.service.broker import DEFAULT_CONF, find_mosquitto
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
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("ca", ["other.crt", ""])
def test_a_broker_that_the_authority_does_not_know_is_refused(port: int, tmp_path: Path, ca: str) -> None:
    settings = BrokerSettings(url=f"mqtts://localhost:{port}", ca=str(tmp_path / ca) if ca else "")
    with pytest.raises(BrokerError, match=rf"no connection to mqtts://localhost:{port}: .*certificate"):
        Connection(settings.address(), "x", lambda _: None).start()
