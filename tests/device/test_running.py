"""One process for several sensors."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from iot_stream import topics
from iot_stream.device.inputs.kinds import Call, Mqtt, Stdin
from iot_stream.device.running import run
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError
from tests.device.site import Site
from tests.device.test_memory import resident_mb
from tests.waiting import wait_until

SENSORS = [f"s{n}" for n in range(8)]
EACH_MB = 3  # more, for each further sensor


def gateway(site: Site, device: str) -> DeviceSettings:
    source = Mqtt(
        format="zigbee2mqtt", topic=f"{site.prefix}/zigbee/{{device}}", channels={"x": "x", "y": "y"}
    )
    return msgspec.structs.replace(
        site.settings(), device=device, state=f"{device}-state", runtime="numpy", input=source
    )


def test_a_house_of_sensors_is_one_process(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.publisher.release(1)
    used = {}
    for count in (1, len(SENSORS)):
        names = SENSORS[-count:]
        for name in names:
            (tmp_path / f"{name}.json").write_text(gateway(site, name).dump())
        command = [sys.executable, "-m", "iot_stream.device", "run", "--config"]
        process = subprocess.Popen(
            [*command, *(f"{name}.json" for name in names)], cwd=tmp_path, stderr=subprocess.PIPE
        )

        def said(names: list[str] = names) -> bool:
            for name in names:
                site.connection.publish(f"{site.prefix}/zigbee/{name}", b'{"x": 1.5, "y": 0.5}')
            heard = [m.topic for m in site.listener.messages if topics.PREDICTION.levels(m.topic)]
            return all(sum(f"/{name}/" in topic for topic in heard) >= 50 for name in names)

        try:
            wait_until(said, "predictions of each")
            used[count] = resident_mb(process.pid)
        finally:
            process.terminate()
            told = process.communicate(timeout=20)[1].decode()
        assert process.returncode == 0
        assert "Traceback" not in told
        for name in names:
            status = [m.payload for m in site.listener.messages if m.topic.endswith(f"/{name}/status")][-1]
            assert not topics.decode(topics.Status, status).online, f"{name} said that it goes"
    each = (used[len(SENSORS)] - used[1]) / (len(SENSORS) - 1)
    with capsys.disabled():
        print(f"\none gateway process: {used[1]:.1f} MB resident, and {each:.1f} MB for each further sensor")
    assert each <= EACH_MB


def test_a_second_process_of_a_device_is_refused(site: Site, tmp_path: Path) -> None:
    site.publisher.release(1)
    (tmp_path / "s0.json").write_text(gateway(site, "s0").dump())
    command = [sys.executable, "-m", "iot_stream.device", "run", "--config", "s0.json"]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (tmp_path / "s0-state" / "blobs").exists(), "that it runs")
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
        assert second.returncode == 2
        assert b"is this device running already?" in second.stderr
    finally:
        first.kill()  # whose lock goes with it
        first.wait(10)
    third = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    assert third.stderr is not None
    assert b"runs version 1" in third.stderr.readline()
    third.terminate()
    assert third.wait(20) == 0
    third.stderr.close()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "s0-state"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes rights")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_card_that_has_become_read_only_keeps_nobody_from_starting(
    site: Site, tmp_path: Path, card: Path
) -> None:
    site.publisher.release(1)
    (tmp_path / "s0.json").write_text(gateway(site, "s0").dump())
    command = [sys.executable, "-m", "iot_stream.device", "run", "--config", "s0.json"]
    for mount in ("rw", "ro"):
        subprocess.run(["mount", "-o", f"remount,{mount}", card], check=True)
        log = tmp_path / f"{mount}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(command, cwd=tmp_path, stderr=errors)
        wait_until(lambda: "runs version 1" in log.read_text(), "its version")  # noqa: B023  called at once
        process.terminate()
        assert process.wait(20) == 0


def test_a_state_that_cannot_be_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = msgspec.structs.replace(gateway(site, "s0"), state=str(tmp_path / "file/in"))
    with pytest.raises(ConfigError, match=r"state: \S+/file/in: Not a directory"):
        run([nowhere])


def test_what_ends_one_ends_all(site: Site, tmp_path: Path) -> None:
    site.publisher.release(1)
    (tmp_path / "few.py").write_text("def read():\n    raise SystemExit(7)\n")
    broken = msgspec.structs.replace(
        site.settings(), device="few", state="few-state", channels=("x", "y"), input=Call(function="few:read")
    )
    (tmp_path / "few.json").write_text(broken.dump())
    (tmp_path / "s0.json").write_text(gateway(site, "s0").dump())
    ran = subprocess.run(
        [sys.executable, "-m", "iot_stream.device", "run", "--config", "s0.json", "few.json"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 7


def test_two_that_would_be_in_each_others_way_are_told(tmp_path: Path) -> None:
    def device(name: str, state: str, read: Stdin | Call) -> DeviceSettings:
        return DeviceSettings(
            pipeline="p", device=name, root="{}", state=str(tmp_path / state), channels=("x",), input=read
        )

    call = Call(function="time:time")
    with pytest.raises(ConfigError, match="input: a alone can read standard input"):
        run([device("a", "a", Stdin()), device("b", "b", call)])
    with pytest.raises(ConfigError, match="device: a of p stands in two of the files"):
        run([device("a", "a", call), device("a", "b", call)])
    with pytest.raises(ConfigError, match=r"state: \S+/one stands in two of the files"):
        run([device("a", "one", call), device("b", "one", call)])
