"""A dashboard on a free port, in this process, over a store that was filled by hand."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import msgspec

from iot_stream.config import Config, Dashboard
from iot_stream.store import Store
from iot_stream.watch.dashboard.server import Server


@contextmanager
def served(
    config: Config,
    store: Store,
    said: list[str] | None = None,
    path: Path = Path("iot-stream.yml"),
    **settings: Any,
) -> Iterator[str]:
    """Its address; it has ended afterwards. `said` takes what a person who starts it is told; `path` is the
    configuration's, where that matters."""
    config = msgspec.structs.replace(config, dashboard=Dashboard(port=0, **settings))
    server, stopping = Server(config, store, path), threading.Event()
    running = threading.Thread(target=server.run, args=(stopping, [].append if said is None else said.append))
    running.start()
    try:
        yield server.address
    finally:
        stopping.set()
        running.join(15)
    assert not running.is_alive()


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON, or text where it is none."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, _read(answer)
    except urllib.error.HTTPError as error:
        return error.code, _read(error)


def _read(answer: HTTPResponse | urllib.error.HTTPError) -> Any:
    text = answer.read().decode()
    return json.loads(text) if answer.headers.get_content_type() == "application/json" else text


class Stream:
    """The changes of a pipeline, as a browser hears them."""

    def __init__(self, url: str, pipeline: str, after: str = "") -> None:
        request = urllib.request.Request(f"{url}/api/events?pipeline={pipeline}")
        if after:
            request.add_header("Last-Event-ID", after)
        self._answer = urllib.request.urlopen(request, timeout=30)

    def next(self) -> tuple[str, list[str] | None]:
        """Id and views of the next change."""
        found: dict[str, str] = {}
        for line in self._answer:
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name:
                found[name] = value
            elif "data" in found:
                return found["id"], json.loads(found["data"])["views"]
        raise EOFError

    def close(self) -> None:
        self._answer.close()
