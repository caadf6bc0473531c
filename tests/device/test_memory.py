"""What a device costs in memory: the whole process, with onnxruntime, a model running, releases coming."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.site import Site
from tests.waiting import wait_until

LIMIT_MB = 85


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmRSS is read from Linux's /proc")
def test_a_device_stays_within_its_memory(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "device.json").write_text(site.settings().dump())
    site.publisher.release(1)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "iot_stream.device",
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
        print(f"\ndevice process with onnxruntime: {used:.1f} MB resident")
    assert used <= LIMIT_MB
