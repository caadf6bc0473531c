"""What a configuration says that its author may not have meant."""

from collections.abc import Iterator
from pathlib import Path

from iot_stream.address import without_password
from iot_stream.config import Config, Pipeline
from iot_stream.service.doctor.findings import Finding, ok, warn

OTHERS = 0o044


def check(config: Config, path: Path) -> Iterator[Finding]:
    found = [*_secrets(config, path), *_places(config)]
    for name, pipeline in config.pipelines.items():
        found += _pipeline(f"config.{name}", pipeline)
    yield from found or [ok("config", f"{path}: nothing that stands out")]


def _secrets(config: Config, path: Path) -> Iterator[Finding]:
    text = path.read_text()
    own = config.access
    written = own.password and "${" not in own.password and own.password in text
    in_url = without_password(own.url) != own.url and "${" not in own.url
    if (written or in_url or without_password(config.store) != config.store) and path.stat().st_mode & OTHERS:
        yield warn(
            "config.secrets",
            f"{path} has a password in it, and others may read it",
            f"chmod 600 {path}, or write ${{NAME}}, password_file or logins",
        )
    file = Path(own.password_file) if own.password_file else None
    if file and file.exists() and file.stat().st_mode & OTHERS:
        yield warn("config.secrets", f"others may read {file}", f"chmod 600 {file}")


def _places(config: Config) -> Iterator[Finding]:
    if config.metrics and config.metrics.host not in ("127.0.0.1", "::1", "localhost"):
        told = f"whoever reaches {config.metrics.host}:{config.metrics.port} reads all metrics"
        yield warn("config.metrics", told, "leave `metrics.host` out, or keep others away by a firewall")


def _pipeline(name: str, pipeline: Pipeline) -> Iterator[Finding]:
    triggers = pipeline.triggers
    if not (triggers.every or triggers.windows or triggers.labels or triggers.drift):
        yield warn(
            name, "no trigger: rounds run on command only", "`triggers: {every: 1 h}`, or drift: adwin"
        )
    if pipeline.clock == "stream" and pipeline.recordings is None:
        yield warn(name, "clock: stream without recordings", "live sensors need `clock: wall`, the default")
    window = pipeline.window
    if pipeline.spoken_by_others and not window.rate and (window.hop or window.length) > 1:
        told = "a gateway counts its windows from the first reading that it hears: few are the service's"
        yield warn(name, told, "where gateways run the student, `window: {rate: …}`, a grid for both")
    taught = pipeline.teacher.topic or pipeline.teacher.own or pipeline.teacher.arch == "onnx"
    if not taught and pipeline.recordings is None:
        told = "nothing teaches: the teacher learns from recordings, and there are none"
        yield warn(name, told, "`recordings:`, or a teacher that speaks on a topic (docs/teachers.md)")
