"""What a device costs in memory: the whole process, a model running, releases coming."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from iot_stream import topics
from iot_stream.device.inputs.kinds import Mqtt
from iot_stream.device.runtime import RUNTIMES
from tests.device.site import Site
from tests.waiting import wait_until

LIMIT_MB = {"onnxruntime": 85, "numpy": 60, "litert": 80}
GATEWAY_MB = 3  # for decoders and a second connection


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmRSS is read from Linux's /proc")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_device_stays_within_its_memory(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    settings = msgspec.structs.replace(site.settings(), runtime=runtime)
    (tmp_path / "device.json").write_text(settings.dump())
    site.publisher.release(1)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "iot_stream.device",
            "run",
            "--config",
            str(tmp_path / "device.json"),
            "--channels",
            "x,y",
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    try:
        for version in range(1, 8):
            if version > 1:
                site.publisher.release(version)
            wait_until(
                lambda v=version: any(r.version == v for r in site.listener.reports("applied")), "applied"
            )
            before = len(site.listener.predictions)
            for _ in range(200):
                process.stdin.write(b'{"x": 1.5, "y": 0.5}\n')
            process.stdin.flush()
            wait_until(lambda b=before: len(site.listener.predictions) >= b + 99, "predictions")
        used = resident_mb(process.pid)
    finally:
        process.stdin.close()
        process.wait(20)
    with capsys.disabled():
        print(f"\ndevice process with {runtime}: {used:.1f} MB resident")
    assert used <= LIMIT_MB[runtime]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmRSS is read from Linux's /proc")
def test_a_gateway_publishes_predictions_alone_and_stays_within_its_memory(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = f"{site.prefix}/zigbee/d"
    source = Mqtt(
        format="zigbee2mqtt", topic=f"{site.prefix}/zigbee/{{device}}", channels={"x": "x", "y": "y"}
    )
    settings = msgspec.structs.replace(site.settings(), runtime="numpy", input=source)
    (tmp_path / "device.json").write_text(settings.dump())
    site.publisher.release(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "iot_stream.device", "run", "--config", str(tmp_path / "device.json")],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: site.listener.reports("applied") != [], "a model")

        def predicted() -> bool:
            site.connection.publish(topic, b'{"x": 1.5, "y": 0.5, "linkquality": 80}')
            return len(site.listener.predictions) >= 100

        wait_until(predicted, "predictions")
        used = resident_mb(process.pid)
    finally:
        process.terminate()
        assert process.wait(20) == 0
    with capsys.disabled():
        print(f"\ngateway process with numpy: {used:.1f} MB resident")
    assert site.listener.of(topics.TELEMETRY) == []
    assert used <= LIMIT_MB["numpy"] + GATEWAY_MB
