"""How much the collector takes, durably, beside a consumer that only counts: from a broker of its own on
loopback, and fed directly."""

import itertools
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from iot_stream.evaluate.bench.process import Child, Task
from iot_stream.service.broker import start

HERE = "iot_stream.evaluate.bench"
TRANSPORTS = ("mosquitto", "direct")
QOS, READINGS, DEVICES = (0, 1), (1, 10), (10, 100, 1000)
PASSES = 3  # of which the median counts
PACED = {"messages": 2000, "rate": 1000, "chunk": 1}  # for the latency, which under full load is the queue's

COLUMNS = (
    "transport", "devices", "qos", "readings_per_message", "bare_per_s", "ours_per_s", "ratio",
    "readings_per_s", "cpu_us_per_message", "windows_us_per_message", "lost", "doubled", "peak_rss_mb",
    "p50_ms", "p99_ms",
)  # fmt: skip

Row = dict[str, Any]


def cases(transports: Sequence[str]) -> int:
    """How many rows there will be."""
    return len(transports) * len(QOS) * len(READINGS) * len(DEVICES)


def rows(transports: Iterable[str], messages: int, folder: Path) -> Iterator[Row]:
    """A row for each case: rates a second, CPU in µs a message, latency in ms from publish to committed."""
    for transport, qos, readings, devices in itertools.product(transports, QOS, READINGS, DEVICES):
        task = {"qos": qos, "readings": readings, "devices": devices, "messages": messages}
        yield _row(transport, task, folder)


def broker_limits(messages: int, folder: Path) -> dict[str, int]:
    """Messages a second that the broker takes where nobody has subscribed."""
    return {f"qos{qos}": round(_nobody_listens(qos, messages, folder)) for qos in QOS}


def _row(transport: str, task: Task, folder: Path) -> Row:
    bare, ours = _median(transport, "bare", task, folder), _median(transport, "ours", task, folder)
    paced = _pass(transport, "ours", task | PACED, folder)
    late = sorted(latencies(paced["sent_at"], paced["committed"]))
    return {
        "transport": transport,
        "devices": task["devices"],
        "qos": task["qos"],
        "readings_per_message": task["readings"],
        "bare_per_s": round(bare["per_s"]),
        "ours_per_s": round(ours["per_s"]),
        "ratio": round(ours["per_s"] / bare["per_s"], 3),
        "readings_per_s": round(ours["per_s"] * task["readings"]),
        "cpu_us_per_message": round(ours["cpu_s"] / task["messages"] * 1e6, 2),
        "windows_us_per_message": round(ours["cutting_s"] / task["messages"] * 1e6, 2),
        "bare_cpu_us_per_message": round(bare["cpu_s"] / task["messages"] * 1e6, 2),
        "lost": ours["lost"],
        "doubled": ours["doubled"],
        "peak_rss_mb": ours["peak_rss_mb"],
        "p50_ms": round(statistics.median(late), 2),
        "p99_ms": round(late[int(0.99 * len(late))], 2),
    }


def _median(transport: str, consumer: str, task: Task, folder: Path) -> Row:
    """Of some passes, figure by figure; none may lose or double a message unseen."""
    passes = [_pass(transport, consumer, task, folder) for _ in range(PASSES)]
    sums = {name: sum(p[name] for p in passes) for name in ("lost", "doubled") if name in passes[0]}
    names = ("per_s", "cpu_s", "cutting_s", "peak_rss_mb")
    return {name: statistics.median(p[name] for p in passes) for name in names if name in passes[0]} | sums


def _pass(transport: str, consumer: str, task: Task, folder: Path) -> Row:
    """One consumer, all messages: rate from the first published to the last committed."""
    with ExitStack() as stack:
        task = task | {"prefix": "bench", "folder": stack.enter_context(_temporary(folder))}
        if transport == "mosquitto":
            broker = stack.enter_context(start(Path(task["folder"]) / "broker", kind="mosquitto"))
            task["port"] = broker.port
            load = stack.enter_context(Child(f"{HERE}.load", task))
            load.said()
            consuming = stack.enter_context(Child(f"{HERE}.{consumer}", task))
        else:
            load = stack.enter_context(Child(f"{HERE}.load", task))
            consuming = stack.enter_context(Child(f"{HERE}.{consumer}", task | load.said()))
            load.said()
        consuming.said()
        load.go()
        sent = load.said()
        got = consuming.said()
    last = got["last"] if "last" in got else got["committed"][-1][0]
    return got | {"per_s": task["messages"] / (last - sent["began"]) * 1e9, "sent_at": sent["sent_at"]}


def _nobody_listens(qos: int, messages: int, folder: Path) -> float:
    task = {"qos": qos, "readings": 1, "devices": 100, "messages": messages, "prefix": "bench"}
    with (
        _temporary(folder) as own,
        start(Path(own) / "broker", kind="mosquitto") as broker,
        Child(f"{HERE}.load", task | {"port": broker.port}) as load,
    ):
        load.said()
        load.go()
        sent = load.said()
    return messages / float(sent["ended"] - sent["began"]) * 1e9


def latencies(sent_at: list[int], committed: Iterable[tuple[int, int]]) -> list[float]:
    """Of each message, in ms; they are committed in the order in which they were sent."""
    late, first = [], 0
    for at, count in committed:
        late += [(at - sent) / 1e6 for sent in sent_at[first:count]]
        first = count
    return late


def _temporary(folder: Path) -> tempfile.TemporaryDirectory[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder)
