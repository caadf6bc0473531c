"""The page and what it asks for, over HTTP: views as JSON, and a stream that tells which have changed.

Whoever looks asks a view again when it has changed; what several ask for within a second is worked out once.
"""

import asyncio
import logging
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from iot_stream.address import environment
from iot_stream.config import Config, Dashboard
from iot_stream.errors import ConfigError, IotStreamError, StoreError
from iot_stream.store import Store
from iot_stream.watch.dashboard.actions import carry_out
from iot_stream.watch.dashboard.guard import Guard
from iot_stream.watch.dashboard.live import Change, Live
from iot_stream.watch.dashboard.notices import Notices
from iot_stream.watch.dashboard.progress import Progress
from iot_stream.watch.dashboard.views import device, models, rollouts, rounds
from iot_stream.watch.dashboard.views.fleet import Fleets
from iot_stream.watch.dashboard.views.promise import Promises
from iot_stream.watch.dashboard.views.topics import Heard

log = logging.getLogger(__name__)

FRESH_S = 1.0
SOON_MS = 1000  # after which a browser that lost the stream asks again
REMEMBERED = 500  # answers
STATIC = Path(str(files("iot_stream.watch"))) / "dashboard" / "static"
UPLOT = Path(str(files("iot_stream.watch"))) / "static" / "uplot"

Query = Mapping[str, str]


class Desk:
    """What views are made from."""

    def __init__(self, config: Config, store: Store, path: Path) -> None:
        self.config, self.store = config, store
        self.notices = Notices(path)
        self.progress = Progress()
        self.heard = Heard(config, self.progress.take)
        self.rounds = {
            name: rounds.View(store, name, each, self.progress) for name, each in config.pipelines.items()
        }
        self.promises = {
            name: Promises(store, name, each, self.rounds[name].preparing)
            for name, each in config.pipelines.items()
        }
        self.fleets = {name: Fleets(store, name, each) for name, each in self.promises.items()}
        self.models = {name: models.View(store, name) for name in config.pipelines}
        self.rollouts = {name: rollouts.View(store, name, each) for name, each in config.pipelines.items()}
        self.devices = {name: device.View(store, name, each) for name, each in config.pipelines.items()}

    def marks(self, name: str) -> dict[str, tuple[int, ...]]:
        """As the store's: what does not stand there."""
        return {
            "heard": self.heard.newest(name),
            "progress": (self.progress.heard(name),),
            "outdated": (self.notices.outdated,),
        }


@dataclass(frozen=True)
class View:
    """`make` it for a pipeline and what was asked; it is new when one of `on` is (`Overview.marks`)."""

    make: Callable[[Desk, str, Query], Any]
    on: tuple[str, ...]


VIEWS = {
    "promise": View(
        lambda at, name, query: at.promises[name].view(query),
        ("windows", "predictions", "labels", "rounds", "events", "progress"),
    ),
    "fleet": View(
        lambda at, name, query: at.fleets[name].view(query),
        ("windows", "predictions", "labels", "devices", "faults", "holds"),
    ),
    "topics": View(lambda at, name, query: at.heard.view(name, query), ("heard",)),
    "rounds": View(
        lambda at, name, query: at.rounds[name].view(query), ("rounds", "commands", "holds", "progress")
    ),
    "models": View(
        lambda at, name, query: at.models[name].view(query), ("versions", "decisions", "devices", "events")
    ),
    "rollouts": View(
        lambda at, name, query: at.rollouts[name].view(query),
        ("decisions", "predictions", "labels", "events", "devices", "commands"),
    ),
    "device": View(
        lambda at, name, query: at.devices[name].view(query),
        ("readings", "predictions", "labels", "events", "devices", "exclusions", "replacements", "holds"),
    ),
    "notices": View(lambda at, *_: at.notices.view(), ("outdated",)),
}


class Answers:
    """To what was asked of late: each worked out once, by whoever asks first."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], tuple[float, bytes]] = {}

    def get(self, pipeline: str, view: str, asked: str, query: Query) -> bytes:
        key = (pipeline, view, asked)
        with self._lock:
            until, answer = self._known.get(key, (0.0, b""))
            if time.monotonic() < until:
                return answer
            answer = msgspec.json.encode(VIEWS[view].make(self._desk, pipeline, query))
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = time.monotonic() + FRESH_S, answer
            return answer

    def forget(self) -> None:
        """Something was done: who looks now is to see it."""
        with self._lock:
            self._known.clear()


def application(desk: Desk, live: Live, token: str, settings: Dashboard) -> Starlette:
    answers = Answers(desk)

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def about(_: Request) -> Response:
        return _json(
            {
                "version": version("iot-stream"),
                "read_only": settings.read_only,
                "pipelines": list(desk.config.pipelines),
                "clocks": {name: each.clock for name, each in desk.config.pipelines.items()},
            }
        )

    def view(request: Request) -> Response:  # not async: it reads the store, on a thread of its own
        name, kind = request.path_params["pipeline"], request.path_params["view"]
        if name not in desk.config.pipelines or kind not in VIEWS:
            return JSONResponse({"error": f"there is no {kind} of {name}"}, 404)
        return _encoded(answers.get(name, kind, request.url.query, request.query_params))

    async def act(request: Request) -> Response:
        name, body = request.path_params["name"], await request.body()
        outcome = await run_in_threadpool(carry_out, desk.config, desk.store, name, body)
        answers.forget()
        return _json({"outcome": outcome})

    def file(request: Request) -> Response:
        asked = request.path_params
        if asked["pipeline"] not in desk.config.pipelines:
            return JSONResponse({"error": f"there is no pipeline {asked['pipeline']}"}, 404)
        found = desk.models[asked["pipeline"]].file(asked["kind"], asked["cohort"], asked["version"])
        name, media_type, content = found
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}"}
        return Response(content, media_type=media_type, headers=headers)

    async def events(request: Request) -> Response:
        name = request.query_params.get("pipeline", "")
        if name not in desk.config.pipelines:
            return JSONResponse({"error": f"there is no pipeline {name}"}, 404)
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        return EventSourceResponse(_changes(live, name, after), ping=15)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/about", about),
            Route("/api/events", events),
            Route("/api/actions/{name}", act, methods=["POST"]),
            Route("/api/{pipeline}/models/{cohort}/{version:int}/{kind}", file),
            Route("/api/{pipeline}/{view}", view),
            Mount("/static/uplot", StaticFiles(directory=UPLOT)),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, names=settings.names, token=token, read_only=settings.read_only)],
        exception_handlers={IotStreamError: _wrong},
    )


async def _changes(live: Live, pipeline: str, after: str) -> AsyncIterator[ServerSentEvent]:
    viewer = live.join(pipeline, after)
    try:
        while (change := await viewer.changes.get()) is not None:
            yield _event(change)
    finally:
        live.leave(viewer)


def _event(change: Change) -> ServerSentEvent:
    data = msgspec.json.encode({"views": change.views}).decode()
    return ServerSentEvent(data, event="changed", id=change.id, retry=SOON_MS)


def _json(found: Any) -> Response:
    return _encoded(msgspec.json.encode(found))


def _encoded(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _wrong(_: Request, error: Exception) -> Response:
    """The person is told what the command line would have told."""
    status = 400 if isinstance(error, ConfigError) else 503 if isinstance(error, StoreError) else 409
    return JSONResponse({"error": str(error)}, status)


class Server:
    """The part of the service that is looked at in a browser."""

    def __init__(self, config: Config, store: Store, path: Path) -> None:
        """`path`: the configuration's. Listens from now on; raises IotStreamError if it cannot."""
        settings = config.dashboard or Dashboard()
        self._settings = settings
        self.token = environment(settings.token, "dashboard.token") or secrets.token_urlsafe(18)
        desk = Desk(config, store, path)
        self._heard = desk.heard
        wanted = {name: each.on for name, each in VIEWS.items()}
        self._live = Live(config, store, wanted, desk.marks)
        self._socket = _listening(settings)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(desk, self._live, self.token, settings),
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
                server_header=False,
            )
        )

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, stopping: threading.Event, say: Callable[[str], None]) -> None:
        """Until `stopping`. `say` is for the person who starts it, not for logs: it is told the token."""
        serving = threading.Thread(target=self._serve, name="dashboard", daemon=True)
        self._heard.start()
        self._live.start()
        serving.start()
        say(f"the dashboard is at {self.address}")
        if not self._settings.read_only and not self._settings.token:
            say(f"who wants to change something there needs the token {self.token}")
        try:
            stopping.wait()
        finally:
            self._live.stop()
            self._server.should_exit = True
            serving.join()
            self._socket.close()
            self._heard.stop()

    def _serve(self) -> None:
        asyncio.run(self._server.serve([self._socket]))


def _listening(settings: Dashboard) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(100)
    except (OSError, OverflowError) as error:
        listening.close()
        raise IotStreamError(
            f"dashboard: cannot listen on {settings.host} port {settings.port}: {error}; is another "
            "`iot-stream dashboard` running, is the host ours? `port: 0` under `dashboard`, or `--port 0`, "
            "takes any that is free"
        ) from error
    return listening
