"""`iot-stream broker-acl`, tried on a real mosquitto: whoever would like to breaks each rule, in vain."""

import base64
import getpass
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from click.testing import CliRunner
from paho.mqtt.client import topic_matches_sub

from iot_stream import topics
from iot_stream.access import certificates, deployment, mosquitto, rules
from iot_stream.access.files import write, write_private
from iot_stream.access.rules import Rule
from iot_stream.address import Address, Broker, login_name
from iot_stream.cli import main
from iot_stream.clock import wall
from iot_stream.config import load
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import BrokerError, ConfigError
from iot_stream.formats.sparkplug_payload import Datatype, Metric, ddata
from iot_stream.ingest.intake import Intake
from iot_stream.mqtt import Connection
from iot_stream.release.keys import Keys
from iot_stream.service.broker import find_mosquitto
from iot_stream.service.doctor import examine
from iot_stream.store import Store
from tests.brokers import Caller, Guarded, Refused, guarded, ports
from tests.ingest.test_collector import start_process
from tests.service.running import NAME, fleet, service, write_taught
from tests.waiting import wait_until

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="passwords and rules need mosquitto")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

ODD = "aa:bb %u"  # a name that password files would split, and that a pattern would expand
CONFIG = {
    "store": "sqlite:store",
    "prefix": "plant",
    "homeassistant": {},
    "pipelines": {
        "pumps": {
            "sources": [{"channels": {"x": "x"}}],
            "window": {"length": 4},
            "task": {"classify": ["good", "worn"]},
        },
        "rooms": {
            "sources": [
                {"topic": "zigbee2mqtt/{device}", "format": "zigbee2mqtt", "channels": {"t": "temperature"}}
            ],
            "labels": {"topic": "rooms/{device}/occupied"},
            "window": {"length": 1},
            "task": {"classify": ["empty", "occupied"]},
            "teacher": {"topic": "camera/{device}", "value": "$.state"},
        },
    },
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "iot-stream.yml"
    path.write_text(yaml.safe_dump(CONFIG | changes, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("acl")
    options = ["--pipeline", "pumps", "--device", "a", "--device", "b", "--device", ODD, "--reader", "ann"]
    options += ["--reader", "bea", "--sensor", "edge"]
    with guarded(folder / "access", written(folder), *options) as running:
        running.write("--pipeline", "rooms", "--device", "hall", "--device", "a")
        running.reload()
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Guarded]:
    """One that a test may change."""
    devices = ["--pipeline", "pumps", "--device", "a", "--device", "b"]
    with guarded(tmp_path / "access", written(tmp_path), *devices) as running:
        yield running


A, B = "devices/pumps/a", "devices/pumps/b"
HALL = "devices/rooms/hall"


def says(broker: Guarded, who: str, topic: str, **how: object) -> bool:
    with Caller(broker.address(who)) as caller:
        return caller.says(topic, **how)


# --- what is written

KNOWN_PASSWORD = "correct horse"


@pytest.mark.skipif(not find_mosquitto(), reason="mosquitto_passwd comes with mosquitto")
def test_passwords_are_hashed_as_mosquitto_passwd_does(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(file), "ann", KNOWN_PASSWORD], check=True)
    _, kind, iterations, salt, digest = file.read_text().strip().split("$")
    assert (kind, int(iterations), len(base64.b64decode(salt))) == (
        "7",
        mosquitto.ITERATIONS,
        mosquitto.SALT_BYTES,
    )
    again = hashlib.pbkdf2_hmac("sha512", KNOWN_PASSWORD.encode(), base64.b64decode(salt), int(iterations))
    assert base64.b64encode(again).decode() == digest
    ours = mosquitto.hashed(KNOWN_PASSWORD).split("$")
    assert [ours[1], ours[2], len(ours[3]), len(ours[4])] == [kind, iterations, len(salt), len(digest)]
    assert mosquitto.hashed(KNOWN_PASSWORD).split("$")[3] != ours[3]


def test_every_topic_has_somebody_who_writes_it(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    devices = rules.of_device(config, "pumps", "a")
    everybody = [rule for part in rules.CORE for rule in rules.of_part(part, config)] + devices
    writes = {rule.topic for rule in everybody if rule.access != "read"}
    for name, topic in topics.TABLE.items():
        concrete = topic.pattern(prefix="plant", part="publisher")
        mine = topic.pattern(prefix="plant", pipeline="pumps", device="a")
        assert {concrete, mine} & writes, f"nobody may write {name}"


def test_the_collector_may_hear_all_that_it_listens_to(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    store = Store(tmp_path / "store")
    heard = [topics.filter_of(pattern) for pattern in Intake(config, store).patterns]
    store.close()
    read = [rule.topic for rule in rules.of_part("collector", config) if rule.access == "read"]
    assert len(heard) > 8
    for each in heard:
        assert any(topic_matches_sub(own, each.replace("+", "x")) for own in read), each


@pytest.mark.parametrize("part", [*rules.CORE, *rules.OTHERS, rules.HOME])
def test_models_are_the_publishers_alone(tmp_path: Path, part: str) -> None:
    allowed = rules.of_part(part, load(written(tmp_path)))
    writes = [rule.topic for rule in allowed if rule.access != "read"]
    models = [topics.BUNDLE.pattern(prefix="plant"), topics.BLOB.pattern(prefix="plant")]
    assert [topic in writes for topic in models] == [part == "publisher"] * 2
    assert not any(topic.endswith("#") for topic in writes)


def test_home_assistant_hears_what_it_shows_and_says_only_that_it_is_there(tmp_path: Path) -> None:
    config = load(written(tmp_path, homeassistant={"discovery_prefix": "home"}))
    announced = "home/device/+/config"
    assert set(rules.of_part("homeassistant", config)) == {
        Rule("read", announced),
        Rule("write", "homeassistant/status"),
        *(Rule("read", f"plant/+/device/+/{what}") for what in ("prediction", "status", "update")),
    }
    publisher = rules.of_part("publisher", config)
    assert {Rule("write", announced), Rule("read", "homeassistant/status")} <= {*publisher}
    without = rules.of_part("publisher", load(written(tmp_path, homeassistant=None)))
    assert {*publisher} - {*without} == {Rule("write", announced), Rule("read", "homeassistant/status")}


def test_secrets_are_their_owners_alone_and_hashes_tell_no_password(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    said = broker.write("--pipeline", "pumps", "--device", "a")
    passwords = [json.loads(file.read_text())["password"] for file in broker.logins.rglob("*.json")]
    assert len(set(passwords)) == len(passwords) == len(rules.CORE) + len(rules.OTHERS) + 2
    assert all(len(password) >= 43 for password in passwords)
    for file in (tmp_path / "access").rglob("*"):
        public = file.name in ("ca.crt", "server.crt", "mosquitto.conf", ".lock") or file.is_dir()
        assert public or file.stat().st_mode & 0o077 == 0, file
        if file.is_file() and file.parent != broker.logins and broker.logins not in file.parents:
            assert not any(password in file.read_text() for password in passwords), file
    assert not any(password in said for password in passwords)


def test_the_broker_gets_no_private_key_of_the_authority(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write()
    key = (tmp_path / "access" / "authority" / "ca.key").read_text()
    assert not any(file.read_text() == key for file in (tmp_path / "access" / "broker").iterdir())
    (tmp_path / "access" / "authority" / "ca.key").unlink()
    broker.write("--pipeline", "pumps", "--device", "a")  # it is not needed for that
    elsewhere = deployment.opened(broker.folder, load(broker.config), hosts=("elsewhere.example",))
    with pytest.raises(ConfigError, match=r"ca\.key: No such file .*bring the authority's key"), elsewhere:
        pass


def test_a_new_name_of_the_broker_is_in_a_new_certificate_and_in_logins(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write()
    before = broker.address("monitor")
    broker.write("--hosts", "broker.example,10.0.0.5")
    certificate = (tmp_path / "access" / "broker" / "server.crt").read_bytes()
    assert certificates.names(certificate) == {"broker.example", "10.0.0.5", "localhost", "127.0.0.1"}
    after = broker.address("monitor")
    assert (after.host, after.password, after.ca) == ("broker.example", before.password, before.ca)
    assert broker.address("collector").host == "localhost"


def test_a_certificate_near_its_end_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    monkeypatch.setattr(certificates, "SERVER_LIFETIME", certificates.RENEW_BEFORE / 2)
    broker.write()
    file = tmp_path / "access" / "broker" / "server.crt"
    short = file.read_bytes()
    monkeypatch.undo()
    broker.write()
    long = file.read_bytes()
    assert certificates.ends(long) > certificates.ends(short)
    broker.write()
    assert file.read_bytes() == long


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    options = ["--pipeline", "pumps", "--device", "a"]
    broker.write(*options)
    files = {file: file.read_bytes() for file in broker.folder.rglob("*") if file.is_file()}
    assert not broker.write(*options).startswith("new ")
    assert {file: file.read_bytes() for file in broker.folder.rglob("*") if file.is_file()} == files


def test_a_device_more_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write("--pipeline", "pumps", "--device", "a")
    logins = {file: file.read_bytes() for file in broker.logins.rglob("*.json")}
    lines = (broker.folder / "broker" / "fleet.passwd").read_text().splitlines()
    assert "pumps/b" in broker.write("--pipeline", "pumps", "--device", "b")
    assert {file: file.read_bytes() for file in logins} == logins
    assert (broker.folder / "broker" / "fleet.passwd").read_text().splitlines()[: len(lines)] == lines


def test_a_sensor_is_there_until_it_is_revoked(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    assert "new        collector, dashboard, distiller, doctor, edge," in broker.write("--sensor", "edge")
    login, lines = (
        broker.address("edge"),
        (broker.folder / "broker" / "fleet.passwd").read_text().splitlines(),
    )
    broker.write("--pipeline", "pumps", "--device", "a")
    assert broker.address("edge") == login
    assert (broker.folder / "broker" / "fleet.passwd").read_text().splitlines()[: len(lines)] == lines
    assert "revoked    edge\n" in broker.write("--revoke", "edge")
    assert "edge:" not in (broker.folder / "broker" / "fleet.passwd").read_text()


@needs_mosquitto
def test_what_is_written_says_where_lines_of_ones_own_belong(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write("--pipeline", "pumps", "--device", "a")
    there, (port,) = broker.folder / "broker", ports(1)
    for name in ("mosquitto.conf", "fleet.passwd", "fleet.acl", "service.passwd", "service.acl"):
        assert "below `include_dir` of this folder" in (there / name).read_text()
    own = f"user {getpass.getuser()}\ninclude_dir {there}\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
    broker.start(own)
    try:
        assert _gets_in(broker, A)
        Caller(Broker(url=f"mqtt://localhost:{port}").address()).close()
    finally:
        broker.stop()


@pytest.mark.parametrize(
    "owner", [None, pytest.param((12345, 54321), marks=needs_root)], ids=["ours", "another"]
)
def test_what_is_rewritten_keeps_owner_group_and_mode(tmp_path: Path, owner: tuple[int, int] | None) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write("--pipeline", "pumps", "--device", "a")
    files = [file for file in broker.folder.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o640)
        if owner:
            os.chown(file, *owner)
    before = {file: _whose(file) for file in files}
    hashes = (broker.folder / "broker" / "fleet.passwd").read_text()
    broker.write("--pipeline", "pumps", "--device", "b", "--hosts", "broker.example")
    assert (broker.folder / "broker" / "fleet.passwd").read_text() != hashes
    assert {file: _whose(file) for file in files} == before


def test_a_devices_file_is_its_owners_alone_whatever_it_replaces(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("x")
    file.chmod(0o644)
    write_private(file, b"x")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_files_of_another_say_who_may_write_them(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"kept/x: Permission denied; run this as its owner, or as root"):
        write(tmp_path / "kept" / "x", b"", 0o600)


def test_the_command_that_is_printed_brings_the_files_to_the_broker(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    there = broker.folder / "broker"
    assert (
        f"reload     `install -D -o mosquitto -m 600 -t /etc/x {there}/* && systemctl reload mosquitto`"
        in (broker.write("--at", "/etc/x"))
    )


@needs_root
def test_what_is_roots_is_to_be_given_to_the_broker_once(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    there = broker.folder / "broker"
    assert f"reload     `chown -R mosquitto: {there} && systemctl reload mosquitto`" in broker.write()
    for file in there.iterdir():
        os.chown(file, 12345, 54321)
    assert "reload     `systemctl reload mosquitto`" in broker.write()


def test_a_configuration_with_logins_is_not_told_to_have_them(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    assert f"write `broker: {{logins: {broker.logins}}}` in the configuration" in broker.write()
    written(tmp_path, broker={"logins": "access/logins"})
    assert "in the configuration" not in broker.write()


def test_a_login_that_was_carried_away_stays_good(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write("--pipeline", "pumps", "--device", "a")
    hashes = (broker.folder / "broker" / "fleet.passwd").read_text()
    (broker.logins / f"{A}.json").unlink()
    broker.write("--pipeline", "pumps", "--device", "a")
    assert (broker.folder / "broker" / "fleet.passwd").read_text() == hashes
    assert not (broker.logins / f"{A}.json").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--revoke", "nobody"), r"--revoke: nobody is called nobody"),
        (("--revoke", "a"), r"--revoke: a is in pumps, rooms; write PIPELINE/a"),
        (("--reader", "collector"), "collector is a part already; name the reader otherwise"),
        (("--sensor", "ann"), "ann is a reader already; name the sensor otherwise"),
        (("--reader", "a/b"), "'a/b' is no name to log in with"),
        (("--shared", "a b"), "--shared: 'a b' is no name"),
        (("--pipeline", "pumps", "--device", ""), "'': no '/', '+', '#', control character, and not empty"),
        (("--device", "c"), "--pipeline: name one of pumps, rooms"),
        (("--hosts", "bü rger"), "--hosts: "),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    broker.write("--pipeline", "pumps", "--device", "a")
    broker.write("--pipeline", "rooms", "--device", "a", "--reader", "ann")
    files = {file: file.read_bytes() for file in broker.folder.rglob("*") if file.is_file()}
    told = ["broker-acl", "--config", str(broker.config), "--out", str(broker.folder), *options]
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 2
    assert says in done.output
    assert {file: file.read_bytes() for file in broker.folder.rglob("*") if file.is_file()} == files


def test_the_first_call_wants_the_brokers_names(tmp_path: Path) -> None:
    told = ["broker-acl", "--config", str(written(tmp_path)), "--out", str(tmp_path / "access")]
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 2
    assert "--hosts: by which names do devices reach the broker?" in done.output


# --- who gets in


@needs_mosquitto
def test_nobody_gets_in_without_a_right_password(broker: Guarded) -> None:
    good = broker.address(A)
    assert Caller(good).close() is None
    strangers = {
        "nobody": Broker(url=str(good), ca=good.ca).address(),
        "wrong password": _as(good, good.user, "x" * 43),
        "another's password": _as(good, "pumps/b", good.password),
        "no password": _as(good, good.user, ""),
        "an unknown user": _as(good, "root", good.password),
        "a hash": _as(good, good.user, _hash_of(broker, good.user)),
    }
    for who, address in strangers.items():
        with pytest.raises(Refused):
            pytest.fail(f"{who} got in: {Caller(address)}")


@needs_mosquitto
def test_who_may_in_at_one_door_is_nobody_at_the_other(broker: Guarded) -> None:
    for who, port in ((A, broker.service_port), ("ann", broker.service_port), ("publisher", broker.port)):
        own = broker.address(who)
        with pytest.raises(Refused):
            Caller(Address(own.host, port, True, own.user, own.password, own.ca))


@needs_mosquitto
@pytest.mark.filterwarnings("ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning")
def test_there_is_no_way_in_without_tls_or_under_another_authority(broker: Guarded) -> None:
    own = broker.address(A)
    other = certificates.authority()[0].decode()
    for address in (
        Address(own.host, own.port, False, own.user, own.password),
        Address(own.host, own.port, True, own.user, own.password, other),
        Address(own.host, own.port, True, own.user, own.password),  # the system's authorities
    ):
        with pytest.raises(BrokerError, match="no connection to"):
            Connection(address, "x", lambda _: None).start(timeout=3)


@needs_mosquitto
def test_the_certificate_is_for_the_brokers_names_alone(broker: Guarded) -> None:
    own = broker.address(A)
    context = own.tls_context()
    with (
        socket.create_connection(("127.0.0.1", own.port), 10) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="elsewhere.example")


# --- who says what

FORBIDDEN = [
    # A device, what is another's, or the service's.
    (A, "plant/pumps/device/b/telemetry"),
    (A, "plant/pumps/device/b/status"),
    (A, "plant/pumps/device/b/prediction"),
    (A, "plant/pumps/device/b/report"),
    (A, "plant/pumps/device/b/label"),
    (A, "plant/rooms/device/a/telemetry"),  # the same name in another pipeline
    (A, "plant/pumps/device/a/cohort"),
    (A, "plant/pumps/device/b/cohort"),
    (A, "plant/pumps/device/a/update"),
    (A, "plant/pumps/device/a"),
    (A, "plant/pumps/device/a/telemetry/more"),
    (A, "plant/pumps/device/a/other"),
    (A, "plant/pumps/model/all/stable/bundle"),
    (A, f"plant/pumps/blob/{'0' * 64}/0"),
    (A, "plant/pumps/round/r1"),
    (A, "plant/service/publisher"),
    (A, "plant/service/collector"),
    (A, "plant/service/a"),
    (A, "plant/service/publisher/sync/x"),
    # A gateway's ears do not speak.
    (f"{HALL}/input", "plant/rooms/device/hall/telemetry"),
    # Names that patterns would expand.
    (f"devices/pumps/{login_name(ODD)}", "plant/pumps/device/a/telemetry"),
    (f"devices/pumps/{login_name(ODD)}", f"plant/pumps/device/{login_name(ODD)}/telemetry"),
    (f"devices/pumps/{login_name(ODD)}", f"plant/pumps/device/pumps/{login_name(ODD)}/telemetry"),
    # Who looks on says nothing.
    *(
        (who, topic)
        for who in ("dashboard", "monitor", "metrics", "homeassistant", "ann")
        for topic in (
            "plant/pumps/device/a/telemetry",
            "plant/pumps/device/a/cohort",
            "plant/pumps/model/all/stable/bundle",
            "plant/pumps/round/r1",
            "plant/service/publisher",
            "plant/service/dashboard",
        )
    ),
    # Parts keep to their own work: nobody passes for the publisher.
    *(
        (who, topic)
        for who in ("collector", "distiller", "doctor", "sensors", "edge")
        for topic in (
            "plant/pumps/model/all/stable/bundle",
            f"plant/pumps/blob/{'0' * 64}/0",
            "plant/pumps/device/a/cohort",
            "plant/service/publisher",
            "plant/pumps/device/a/status",
        )
    ),
    ("publisher", "plant/pumps/device/a/telemetry"),
    ("publisher", "plant/pumps/device/a/label"),
    ("publisher", "plant/service/collector"),
    ("collector", "plant/pumps/round/r1"),
    ("sensors", "plant/pumps/device/a/telemetry"),
    ("edge", "plant/pumps/device/a/telemetry"),
]

ALLOWED = [
    (A, "plant/pumps/device/a/telemetry"),
    (A, "plant/pumps/device/a/prediction"),
    (A, "plant/pumps/device/a/report"),
    (A, "plant/pumps/device/a/status"),
    (A, "plant/pumps/device/a/label"),
    (A, "plant/pumps/device/a/sample"),
    ("devices/rooms/a", "plant/rooms/device/a/telemetry"),
    (f"devices/pumps/{login_name(ODD)}", f"plant/pumps/device/{ODD}/telemetry"),
    ("publisher", "plant/pumps/model/all/stable/bundle"),
    ("publisher", f"plant/rooms/blob/{'0' * 64}/0"),
    ("publisher", "plant/pumps/device/b/cohort"),
    ("publisher", "plant/pumps/device/b/update"),
    ("publisher", "plant/service/publisher"),
    ("distiller", "plant/rooms/round/r1"),
    ("distiller", "plant/service/distiller"),
    ("collector", "plant/service/collector"),
    ("sensors", "zigbee2mqtt/hall"),
    ("sensors", "rooms/hall/occupied"),
    ("sensors", "camera/hall"),
    ("sensors", "plant/pumps/device/a/label"),
    ("edge", "zigbee2mqtt/hall"),
    ("edge", "plant/pumps/device/a/label"),
    ("doctor", "plant/service/doctor/x"),
    ("publisher", "plant/pumps/device/a/status"),  # empty, when the device is forgotten
    ("publisher", "plant/pumps/device/a/update"),
    ("publisher", "homeassistant/device/iot_stream_x/config"),
    ("homeassistant", "homeassistant/status"),
]


@needs_mosquitto
@pytest.mark.parametrize("who", sorted({who for who, _ in FORBIDDEN}))
def test_what_is_not_ones_own_cannot_be_said(broker: Guarded, who: str) -> None:
    theirs = [topic for each, topic in FORBIDDEN if who == each]
    with Caller(broker.address("bea")) as bea:
        bea.listens("plant/#")
        with Caller(broker.address(who)) as caller:
            caller.tries(theirs, b"a lie")
        assert says(broker, "collector", "plant/service/collector")
        heard = bea.all_until("plant/service/collector")
        assert [message.topic for message in heard if message.payload == b"a lie"] == []


@needs_mosquitto
@pytest.mark.parametrize(
    "topic",
    [
        "zigbee2mqtt/hall",
        "homeassistant/status",
        "homeassistant/device/x/config",
        "other/x",
        "$SYS/x",
        "$CONTROL/x",
        "anything",
    ],
)
def test_a_device_says_nothing_elsewhere(broker: Guarded, topic: str) -> None:
    assert not says(broker, A, topic)


@needs_mosquitto
@pytest.mark.parametrize("who", sorted({who for who, _ in ALLOWED}))
def test_what_is_ones_own_can(broker: Guarded, who: str) -> None:
    own = [topic for each, topic in ALLOWED if who == each]
    with Caller(broker.address(who)) as caller:
        assert [topic for topic in own if not caller.says(topic)] == []


@needs_mosquitto
def test_what_is_to_be_retained_is_refused_alike(broker: Guarded) -> None:
    assert not says(broker, A, "plant/pumps/model/all/stable/bundle", retain=True)
    assert not says(broker, "dashboard", "plant/pumps/model/all/stable/bundle", retain=True)


@needs_mosquitto
def test_an_alias_does_not_hide_a_topic(broker: Guarded) -> None:
    with Caller(broker.address(A)) as device:
        assert not device.says("plant/pumps/device/b/telemetry", alias=1)
        assert device.says("plant/pumps/device/a/telemetry", alias=2)
        assert not device.says("plant/pumps/model/all/stable/bundle", alias=2)


@needs_mosquitto
@pytest.mark.parametrize("topic", ["plant/pumps/device/b/status", "plant/service/publisher"])
def test_a_last_will_cannot_say_what_its_owner_may_not(broker: Guarded, topic: str) -> None:
    own = "plant/pumps/device/a/status"
    with Caller(broker.address("ann")) as ann:
        ann.listens(topic, own)
        Caller(broker.address(A), will=topic).dies()
        Caller(broker.address(A), will=own).dies()  # not before the session before it has ended
        assert [message.topic for message in ann.all_until(own) if message.payload == b"gone"] == []


# --- who hears what


@needs_mosquitto
@pytest.mark.parametrize(
    "filters",
    [
        ("#",),
        ("plant/#", "+/+/+/+/+", "zigbee2mqtt/#", "rooms/#", "camera/+"),
        ("plant/pumps/device/b/+", "plant/rooms/#", "plant/service/+", "$SYS/#"),
        ("$share/thieves/plant/pumps/device/b/telemetry", "$share/thieves/#", "$share/thieves/$SYS/#"),
    ],
)
def test_a_device_hears_its_cohort_and_models_alone(broker: Guarded, filters: tuple[str, ...]) -> None:
    with Caller(broker.address(A)) as device:
        device.listens(*filters, "plant/pumps/device/a/cohort")
        assert says(broker, B, "plant/pumps/device/b/telemetry")
        assert says(broker, B, "plant/pumps/device/b/status", retain=True)
        assert says(broker, "sensors", "zigbee2mqtt/hall")
        assert says(broker, "sensors", "rooms/hall/occupied")
        assert says(broker, "collector", "plant/service/collector")
        assert says(broker, "publisher", "plant/rooms/model/all/stable/bundle")
        assert says(broker, "publisher", "plant/pumps/device/b/cohort")
        assert says(broker, "publisher", "plant/pumps/device/a/cohort")
        assert device.until("plant/pumps/device/a/cohort") == []


@needs_mosquitto
def test_a_device_hears_the_models_of_its_pipeline(broker: Guarded) -> None:
    with Caller(broker.address(B)) as device:
        device.listens("plant/pumps/model/all/stable/bundle", "plant/pumps/blob/+/+")
        assert says(broker, "publisher", "plant/pumps/blob/1/0")
        assert says(broker, "publisher", "plant/pumps/model/all/stable/bundle")
        assert device.until("plant/pumps/model/all/stable/bundle") == ["plant/pumps/blob/1/0"]


@needs_mosquitto
def test_a_gateway_hears_its_sensor_alone(broker: Guarded) -> None:
    with Caller(broker.address(f"{HALL}/input")) as ears:
        ears.listens("#")
        assert says(broker, "sensors", "zigbee2mqtt/kitchen")
        assert says(broker, "sensors", "camera/hall")
        assert says(broker, "sensors", "zigbee2mqtt/hall")
        assert ears.until("zigbee2mqtt/hall") == []


@needs_mosquitto
def test_a_node_of_sparkplug_hears_its_host_and_that_a_rebirth_is_asked_for(tmp_path: Path) -> None:
    source = {"format": "sparkplug", "host": "iot-stream", "channels": {"p": "Inputs/P"}}
    press = CONFIG["pipelines"]["pumps"] | {"sources": [source]}
    config = written(tmp_path, store=f"sqlite:{tmp_path}/store", pipelines={"press": press})
    group = "spBv1.0/hall"
    with (
        guarded(tmp_path / "access", config, "--sensor", "edge", "--reader", "ann") as broker,
        Caller(broker.address("edge")) as node,
        Caller(broker.address("ann")) as ann,
    ):
        node.listens("spBv1.0/STATE/iot-stream", f"{group}/NCMD/edge", f"{group}/DCMD/edge/#")
        ann.listens("plant/service/collector")
        assert broker.logged_in
        collector = start_process(config.with_name("logged_in.yml"))
        try:
            ann.until("plant/service/collector")  # said behind its subscriptions
            node.until("spBv1.0/STATE/iot-stream")
            missed = ddata([Metric("Inputs/P", 1, Datatype.INT32, alias=7)], wall() // 10**6, 5)
            assert node.says(f"{group}/DDATA/edge/press", missed)
            node.until(f"{group}/NCMD/edge")
        finally:
            collector.terminate()
            collector.wait(20)
        assert says(broker, "sensors", f"{group}/DCMD/edge/press")
        node.until(f"{group}/DCMD/edge/press")


@needs_mosquitto
def test_metrics_hear_parts_alone_and_readers_all(broker: Guarded) -> None:
    with Caller(broker.address("metrics")) as metrics, Caller(broker.address("ann")) as ann:
        metrics.listens("#")
        ann.listens("#")  # as `discover` does
        assert says(broker, A, "plant/pumps/device/a/telemetry")
        for topic in ("zigbee2mqtt/hall", "rooms/hall/occupied", "camera/hall"):
            assert says(broker, "sensors", topic)
        assert says(broker, "collector", "plant/service/collector")
        assert set(metrics.until("plant/service/collector")) <= {"plant/service/publisher"}
        theirs = {"plant/pumps/device/a/telemetry", "zigbee2mqtt/hall", "rooms/hall/occupied", "camera/hall"}
        assert theirs <= set(ann.until("plant/service/collector"))


# --- who passes for whom


@needs_mosquitto
@pytest.mark.parametrize("thief", [A, "dashboard", "ann", "metrics"])
@pytest.mark.parametrize("name", ["plant-collector", "pumps/b"])
def test_nobody_takes_over_anothers_session(broker: Guarded, thief: str, name: str) -> None:
    """Who connects under another's client id would end its connection, and clear what waits for it."""
    of = {"plant-collector": "collector", "pumps/b": B}[name]
    filters = {"collector": "plant/pumps/device/a/telemetry", B: "plant/pumps/device/b/cohort"}[of]
    with Caller(broker.address(of), name, session=True) as victim:
        victim.listens(filters)
        with Caller(broker.address(thief), name) as caller:
            caller.listens("#")
            assert says(broker, *({"collector": (A,), B: ("publisher",)}[of]), filters)
            assert victim.until(filters) == []
        assert not victim.ended.is_set()


@needs_mosquitto
def test_sensors_of_several_logins_leave_each_other_alone(broker: Guarded) -> None:
    with (
        Caller(broker.address("edge"), "gateway") as edge,
        Caller(broker.address("sensors"), "gateway") as one,
    ):
        assert edge.says("zigbee2mqtt/hall")
        assert one.says("zigbee2mqtt/kitchen")
        assert edge.says("zigbee2mqtt/hall")
        assert not edge.ended.is_set()


@needs_mosquitto
def test_what_waits_for_the_collector_survives_a_restart_of_both(own: Guarded) -> None:
    topic = "plant/pumps/device/a/telemetry"
    collector = own.address("collector")
    with Caller(collector, "plant-collector", session=True) as first:
        first.listens(topic)
    assert says(own, A, topic, payload=b"1")
    own.stop()
    own.start()
    assert says(own, A, topic, payload=b"2")
    with Caller(collector, "plant-collector", session=True) as again:
        assert [again.heard.get(timeout=60).payload for _ in range(2)] == [b"1", b"2"]


@needs_mosquitto
def test_who_is_revoked_is_out_and_all_others_stay(own: Guarded) -> None:
    a, b = own.address(A), own.address(B)
    with Caller(a) as out, Caller(b) as stays, Caller(own.address("collector"), "plant-collector") as part:
        assert "pumps/a" in own.write("--revoke", "a", "--pipeline", "pumps", "--device", "c")
        own.reload()
        assert out.ended.wait(10)
        wait_until(lambda: _gets_in(own, "devices/pumps/c"), "the new device may in")
        with pytest.raises(Refused):
            Caller(a)
        assert stays.says("plant/pumps/device/b/telemetry")
        assert not stays.ended.is_set()
        assert not part.ended.is_set()
    assert not (own.logins / f"{A}.json").exists()


@needs_mosquitto
@needs_root
def test_a_broker_of_another_user_reads_on_when_a_device_is_added() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the folders of tests are closed to others
        broker = Guarded(Path(folder) / "access", written(Path(folder)))
        broker.write("--pipeline", "pumps", "--device", "a")
        for each in (broker.folder, *(broker.folder / "broker").iterdir()):
            shutil.chown(each, "nobody")
        broker.start(f"user nobody\ninclude_dir {broker.folder / 'broker'}\n")
        try:
            broker.write("--pipeline", "pumps", "--device", "b")
            broker.reload()
            wait_until(lambda: _gets_in(broker, B), "the new device may in")
            assert _gets_in(broker, A)
        finally:
            broker.stop()


@needs_mosquitto
def test_revoked_and_added_again_is_a_new_password(own: Guarded) -> None:
    old = own.address(A)
    own.write("--revoke", "pumps/a", "--pipeline", "pumps", "--device", "a")
    own.reload()
    wait_until(lambda: _gets_in(own, A), "the new password is right")
    with pytest.raises(Refused):
        Caller(old)


# --- our own parts and devices, with their logins


def test_a_devices_file_has_its_login_and_nobody_elses(tmp_path: Path) -> None:
    path = written(tmp_path, keys=str(tmp_path / "keys"))
    Keys.create(tmp_path / "keys", 1, 1)
    broker = Guarded(tmp_path / "access", path)
    broker.write()
    out = tmp_path / "hall.json"
    told = ["device", "add", "hall", "--config", str(path), "--pipeline", "rooms"]
    done = CliRunner().invoke(main, [*told, "--access", str(broker.folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "hall may in as soon as the broker reads its files again" in done.output
    assert out.stat().st_mode & 0o077 == 0
    settings = DeviceSettings.load(out)
    assert settings.address == broker.address(HALL)
    assert settings.input_address == broker.address(f"{HALL}/input")
    again = CliRunner().invoke(main, [*told, "--access", str(broker.folder)])
    assert json.loads(again.stdout) == json.loads(out.read_text())


def test_with_logins_a_device_is_not_added_without_one(tmp_path: Path) -> None:
    path = written(tmp_path, keys=str(tmp_path / "keys"))
    Keys.create(tmp_path / "keys", 1, 1)
    broker = Guarded(tmp_path / "access", path)
    broker.write()
    assert broker.logged_in
    told = ["device", "add", "a", "--pipeline", "pumps", "--config", str(path.with_name("logged_in.yml"))]
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 2
    assert "--access: name the folder of `iot-stream broker-acl`" in done.output


def test_a_configuration_with_logins_is_checked(tmp_path: Path) -> None:
    broker = Guarded(tmp_path / "access", written(tmp_path))
    assert broker.logged_in
    told = ["config", "check", "--config", str(broker.config.with_name("logged_in.yml"))]
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 0, done.output
    assert f"broker   as each login in {broker.logins} says" in done.output


def test_a_part_without_a_login_says_where_it_comes_from(tmp_path: Path) -> None:
    path = written(tmp_path, broker={"logins": "nowhere"})
    config = load(path)
    with pytest.raises(ConfigError, match=r"nowhere/collector\.json: No such file.*`iot-stream broker-acl`"):
        config.as_part("collector")
    with pytest.raises(ConfigError, match=r"broker\.logins: .* has a login for each part, none for all"):
        config.address  # noqa: B018


@needs_mosquitto
@pytest.mark.slow
def test_the_whole_loop_runs_with_logins_over_tls(tmp_path: Path) -> None:
    """Service, fleet, metrics and monitor as processes, each with its own login; a device learns."""
    path = write_taught(tmp_path, "mqtt://localhost:1", "plant")
    devices = ["machine-00", "machine-01"]
    broker = Guarded(tmp_path / "access", path)
    broker.write(*(word for name in devices for word in ("--device", name)))
    assert broker.logged_in
    path = path.with_name("logged_in.yml")
    broker.start()
    try:
        store, log = Store(load(path).store_place), tmp_path / "service.log"
        with service(path, log):
            wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a version", 90)
            with fleet(path, tmp_path, "--devices", str(len(devices)), "--seconds", "60") as running:
                wait_until(
                    lambda: running.poll() is not None or _running(store) == len(devices),
                    "a version runs",
                    90,
                )
                assert running.poll() is None, (tmp_path / "simulator.log").read_text()
                wait_until(lambda: sum(store.journal.readings(NAME).values()) > 0, "readings are stored", 30)
                # The last to be there, for it loads torch first; the version was in the store before.
                wait_until(lambda: "distiller: at work" in log.read_text(), "the distiller", 60)
                found = list(examine(load(path), path))
                assert [each for each in found if each.state == "fail"] == []
                assert {"parts.collector", "broker.login.publisher"} <= {each.name for each in found}
        said = log.read_text()
        passwords = [json.loads(f.read_text())["password"] for f in broker.logins.rglob("*.json")]
        assert not any(password in said for password in passwords)
        assert "refuses a subscription" not in said
        store.close()
    finally:
        broker.stop()


def _running(store: Store) -> int:
    return sum(device.version > 0 for device in store.registry.devices(NAME))


def _gets_in(broker: Guarded, who: str) -> bool:
    try:
        Caller(broker.address(who)).close()
    except Refused:
        return False
    return True


def _whose(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_uid, status.st_gid, status.st_mode


def _as(address: Address, user: str, password: str) -> Address:
    return Address(address.host, address.port, address.tls, user, password, address.ca)


def _hash_of(broker: Guarded, user: str) -> str:
    lines = (broker.folder / "broker" / "fleet.passwd").read_text().splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith(f"{user}:"))


def test_a_name_with_a_slash_may_read_where_its_sensor_speaks(tmp_path: Path) -> None:
    path = tmp_path / "home.yml"
    path.write_text(
        "pipelines: {home: {window: {length: 1}, task: {classify: [a, b]}, student: {arch: mlp},"
        " sources: [{format: zigbee2mqtt, channels: {t: t}}]}}\n"
    )
    found = rules.of_input(load(path), "home", "hall%2Fwindow")
    assert found == [Rule("read", "zigbee2mqtt/hall/window")]


@pytest.mark.parametrize("group", ["{group}", "plant"])
def test_a_gateway_of_sparkplug_may_hear_and_ask_its_own_node_alone(tmp_path: Path, group: str) -> None:
    path = tmp_path / "press.yml"
    path.write_text(
        "pipelines: {press: {window: {length: 1}, task: {classify: [a, b]}, student: {arch: mlp},"
        " sources: [{format: sparkplug, channels: {t: t}, host: h,"
        f" topic: 'spBv1.0/{group}/{{type}}/{{node...}}'}}]}}}}\n"
    )
    own = [Rule("read", "spBv1.0/plant/+/edge/#"), Rule("write", "spBv1.0/plant/NCMD/edge")]
    assert rules.of_input(load(path), "press", "plant%2Fedge%2Fpress") == own
    assert rules.of_input(load(path), "press", "plant%2Fedge") == own
    for name in ("press", "%2Fedge", "plant%2F"):
        with pytest.raises(ConfigError, match=r"device: .* is not .*/node, or .*/node/device"):
            rules.of_input(load(path), "press", name)
    odd = rules.of_input(load(path), "press", "plant%2F%2B%2Fpress")  # would be every node's, were it told
    assert odd[0] == Rule("read", "spBv1.0/plant/+/%2B/#")
