"""`python -m iot_stream.evaluate.bench.ours TASK`: the collector as `iot-stream collect` runs it, watched."""

import resource
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from iot_stream.address import Address
from iot_stream.config import load
from iot_stream.evaluate.bench.load import PIPELINE
from iot_stream.evaluate.bench.process import Task, main, say
from iot_stream.ingest.collector import Collector
from iot_stream.ingest.packets import Received
from iot_stream.ingest.receiver import Receiver, receiver
from iot_stream.presence import Presence
from iot_stream.store import Store

CONFIG = """\
broker: mqtt://127.0.0.1:{port}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  {pipeline}:
    window: {{length: 100}}
    task: {{classify: [good, bad]}}
    sources: [{{channels: {{vibration: vibration, temperature: temperature}}}}]
"""


class Watched:
    """A receiver, and when how many of its messages had been committed."""

    def __init__(self, inner: Receiver, wanted: int) -> None:
        self._inner, self._wanted = inner, wanted
        self.take, self.publish, self.stop = inner.take, inner.publish, inner.stop
        self.say_again = inner.say_again
        self.committed: list[tuple[int, int]] = []
        self._count = 0
        self.done = threading.Event()

    def start(self) -> None:
        self._inner.start()
        say(ready=True)
        self.cpu_s = time.process_time()

    def acknowledge(self, messages: Sequence[Received]) -> None:
        self._inner.acknowledge(messages)
        self._count += len(messages)
        self.committed.append((time.monotonic_ns(), self._count))
        if self._count >= self._wanted:
            self.cpu_s = time.process_time() - self.cpu_s
            self.done.set()


class Accounted(Collector):
    """What of the CPU went to windows; the rest is from the wire to the acknowledgement."""

    cutting_s = 0.0

    def cut(self) -> None:
        began = time.thread_time()
        super().cut()
        self.cutting_s += time.thread_time() - began


def work(task: Task) -> None:
    folder = Path(task["folder"])
    path = folder / "iot-stream.yml"
    path.write_text(CONFIG.format(pipeline=PIPELINE, **task))
    config = load(path)
    store = Store(config.store_folder)
    watched: list[Watched] = []

    def listen(address: Address, client_id: str, patterns: Sequence[str], presence: Presence) -> Watched:
        watched.append(Watched(receiver(address, client_id, patterns, presence), task["messages"]))
        return watched[0]

    collector = Accounted(config, store, listen)
    stopping = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stopping,))
    thread.start()
    watched[0].done.wait()
    cutting_s = collector.cutting_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stopping.set()
    thread.join()
    blocks = store.journal.numbers(PIPELINE)
    numbers = {(device, seq + i) for device, _, _, seq, n in blocks for i in range(n)}
    say(
        committed=watched[0].committed if task.get("rate") else watched[0].committed[-1:],
        cpu_s=watched[0].cpu_s,
        cutting_s=cutting_s,
        peak_rss_mb=round(peak, 1),
        lost=task["messages"] * task["readings"] - len(numbers),
        doubled=sum(n for *_, n in blocks) - len(numbers),
    )


if __name__ == "__main__":
    main(work)
