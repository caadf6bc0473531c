"""The one table of metrics: `docs/metrics.md` is made of it, and nothing else is ever shown.

Names as Prometheus has them: base units, `_total` for what only rises, a unit at the end.
"""

from typing import Literal, NamedTuple

PREFIX = "iot_stream_"
SOME = "of more devices than `metrics.devices`, all together, without the label"
NONE = "none where there are more cohorts than `metrics.devices`"


class Metric(NamedTuple):
    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


class Sample(NamedTuple):
    """A value of the metric of this `name`; `labels` in the order of the table."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Group(NamedTuple):
    title: str
    metrics: tuple[Metric, ...]


def _counter(name: str, told: str, *labels: str) -> Metric:
    return Metric(name, "counter", told, labels)


def _gauge(name: str, told: str, *labels: str) -> Metric:
    return Metric(name, "gauge", told, labels)


GROUPS = (
    Group(
        "The promise",
        (
            _gauge(
                "accuracy_ratio",
                "Share of windows that were told rightly, of those that end under the newest 1,000 labels "
                "and that all models have told; model is student, static (the first student, never updated) "
                "or teacher",
                "pipeline", "model",
            ),
            _gauge(
                "balanced_accuracy_ratio",
                "The same as the mean of the recalls of the classes that occur",
                "pipeline", "model",
            ),
            _gauge("judged_windows", "Windows that both are made from", "pipeline", "model"),
            _gauge(
                "agreement_ratio",
                "Share of the newest 1,000 predictions' windows on which student or static say what the "
                "teacher says, of those that all three have told; needs no labels; absent until the teacher "
                "has spoken on them",
                "pipeline", "model",
            ),
            _gauge(
                "recovery_seconds",
                "From the beginning of the newest round whose version was better even by the lower bound of "
                "its gain until the last device (so far) ran it; absent until one does",
                "pipeline",
            ),
        ),
    ),
    Group(
        "What comes in",
        (
            _counter("readings_total", f"Readings taken from the broker; {SOME}", "pipeline", "device"),
            _counter(
                "received_bytes_total",
                "Bytes of messages from the broker, redeliveries too; each message once, however many "
                "sources read it",
                "pipeline",
            ),
            _counter(
                "input_problems_total",
                "What was wrong with the input: readings, values or messages, as the reason has it (see "
                f"below); {SOME}",
                "pipeline", "device", "reason",
            ),
            _gauge("loss_alarm_ratio", "Share of readings that may be lost: `loss_alarm`", "pipeline"),
            _gauge("quarantined_messages", "Unusable messages kept for a person to look at", "pipeline"),
            _gauge(
                "newest_reading_timestamp_seconds",
                "When the newest reading came, on the pipeline's clock (with clock stream: its own time)",
                "pipeline", "clock",
            ),
            _counter("windows_total", "Windows cut for student or teacher", "pipeline", "model"),
            _counter(
                "sampled_windows_total",
                "Windows that devices saw which send a sample of them: `upload`",
                "pipeline",
            ),
            _gauge(
                "newest_window_timestamp_seconds",
                "The end of the window that was cut last for student or teacher",
                "pipeline", "model",
            ),
            _gauge(
                "cutting_lag_seconds",
                "How long the oldest readings that are not cut into windows yet have lain in the journal",
                "pipeline", "model",
            ),
        ),
    ),
    Group(
        "The fleet",
        (
            _gauge("devices", "Devices that have told their status", "pipeline"),
            _gauge("devices_online", "Those that are connected", "pipeline"),
            _gauge(
                "devices_behind",
                "Connected devices that run an older version than their cohort's newest",
                "pipeline",
            ),
            _gauge("devices_held", "Devices that are not learnt from: they look broken", "pipeline"),
            _gauge(
                "devices_running",
                "Devices by the version that they run: the ten that most run, the rest as version other",
                "pipeline", "version",
            ),
            _counter(
                "device_events_total",
                "Reports of devices: applied, rejected, rolled_back, health, other",
                "pipeline", "event",
            ),
        ),
    ),
    Group(
        "Rounds and releases",
        (
            _counter(
                "rounds_total",
                "Rounds that are over: released, rejected, held, failed, interrupted; the first version is "
                "none",
                "pipeline", "outcome",
            ),
            _gauge("rounds_running", "Rounds under way", "pipeline"),
            _gauge("last_round_seconds", "What the last round took", "pipeline"),
            _gauge("last_round_timestamp_seconds", "When the last round ended", "pipeline"),
            _counter("round_cpu_seconds_total", "CPU time of all rounds", "pipeline"),
            _gauge(
                "gate_candidate_ratio",
                "What the last round's gate found for the candidate: share of windows right by the labels, "
                "or as the teacher says",
                "pipeline",
            ),
            _gauge("gate_running_ratio", "The same for the version that ran", "pipeline"),
            _gauge("teacher_held", "1 while the last round did not believe its teacher", "pipeline"),
            _gauge("learning_paused", "1 while a person has paused the pipeline", "pipeline"),
            _gauge("cohorts", "Cohorts with a release", "pipeline"),
            _gauge("released_version", f"The newest version; {NONE}", "pipeline", "cohort"),
            _gauge("released_timestamp_seconds", f"When it was signed; {NONE}", "pipeline", "cohort"),
            _gauge("rollouts_running", "Versions that go out in stages and are not at the end", "pipeline"),
            _gauge("rollouts_paused", "Those of them that a person has paused", "pipeline"),
            _counter(
                "rollouts_total",
                "Rollouts that are over: done, aborted (by the health rule or a person), superseded",
                "pipeline", "outcome",
            ),
            _gauge(
                "rollout_stage_ratio",
                f"Share of the cohort's devices that are offered the version under way; {NONE}",
                "pipeline", "cohort",
            ),
            _gauge(
                "bundle_bytes", f"What a device receives for it, graph and spec aside; {NONE}",
                "pipeline", "cohort",
            ),
        ),
    ),
    Group(
        "The service",
        (
            _gauge("build_info", "1; version of iot-stream", "version"),
            _gauge("part_online", "1 while a part of the service is connected to the broker", "part"),
            _gauge(
                "part_fault",
                "1 while a part holds its work back, as when the disk is full; `iot-stream monitor` says why",
                "part",
            ),
            _gauge("broker_connected", "1 while the broker is reached from here"),
            _gauge("store_up", "1 while the store can be read; without it all but the parts is absent"),
            _gauge("store_bytes", "What the store holds"),
            _gauge("store_limit_bytes", "`store_limit`: beyond it the oldest readings and windows go"),
            _gauge("store_read_seconds", "What it took to read all this"),
        ),
    ),
)  # fmt: skip

TABLE = {metric.name: metric for group in GROUPS for metric in group.metrics}
