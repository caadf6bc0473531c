"""What any board with Linux can say of itself: `"input": {"from": "call", "function": "board:read"}`."""

from pathlib import Path

THERMOMETER = Path("/sys/class/thermal/thermal_zone0/temp")  # thousandths of a degree


def read() -> dict[str, float]:
    """A reading; a channel that is left out is missing."""
    found = {"load": float(Path("/proc/loadavg").read_text().split()[0])}
    if THERMOMETER.exists():
        found["temperature"] = int(THERMOMETER.read_text()) / 1000
    return found
