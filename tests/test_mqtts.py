"""mqtts, with a certificate authority of one's own."""

import getpass
import socket
import subprocess
from collections.abc import Iterator
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


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A mosquitto with TLS on this port; its authority is `ours.crt`, and `other.crt` is not."""
    _, signer = _authority(tmp_path, "ours")
    _authority(tmp_path, "other")
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "server.crt").write_bytes(_certificate("localhost", key, "ours", signer, authority=False))
    (tmp_path / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    conf = tmp_path / "tls.conf"
    conf.write_text(
        f"{DEFAULT_CONF.read_text()}\nlistener {number} 127.0.0.1\n"
        f"allow_anonymous true\nuser {getpass.getuser()}\n"
        f"certfile {tmp_path / 'server.crt'}\nkeyfile {tmp_path / 'server.key'}\n"
    )
    program = find_mosquitto()
    assert program is not None
    broker = subprocess.Popen([program, "-c", str(conf)], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(number), "mosquitto's TLS port")
        yield number
    finally:
        broker.terminate()
        broker.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_messages_pass_under_the_right_authority(port: int, tmp_path: Path, prefix: str) -> None:
    settings = BrokerSettings(url=f"mqtts://localhost:{port}", ca=str(tmp_path / "ours.crt"))
    heard: SimpleQueue[Message] = SimpleQueue()
    connection = Connection(settings.address(), prefix, heard.put)
    connection.subscribe(f"{prefix}/x")
    connection.start()
    try:
        connection.publish_and_wait(f"{prefix}/x", b"secret")
        assert heard.get(timeout=10).payload == b"secret"
    finally:
        connection.stop()


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("ca", ["other.crt", ""])
def test_a_broker_that_the_authority_does_not_know_is_refused(port: int, tmp_path: Path, ca: str) -> None:
    settings = BrokerSettings(url=f"mqtts://localhost:{port}", ca=str(tmp_path / ca) if ca else "")
    with pytest.raises(BrokerError, match=rf"no connection to mqtts://localhost:{port}: .*certificate"):
        Connection(settings.address(), "x", lambda _: None).start()
