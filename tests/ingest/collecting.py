"""`python -m tests.ingest.collecting CONFIG`: a collector in a process of its own, for tests that kill it."""

import signal
import sys
import threading
from pathlib import Path

from iot_stream.config import load
from iot_stream.ingest.collector import Collector
from iot_stream.store import Store


def main() -> None:
    config = load(Path(sys.argv[1])).as_part("collector")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    store = Store(config.store_folder)
    Collector(config, store).run(stopping)
    store.close()


if __name__ == "__main__":
    main()
