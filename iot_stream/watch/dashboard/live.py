"""What has changed, for all who look: one thread asks the store while anyone does, and tells each viewer
which views have something new. The views themselves are fetched, so that what is missed costs nothing."""

import asyncio
import itertools
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from iot_stream.config import Config
from iot_stream.errors import StoreError
from iot_stream.store import Store

log = logging.getLogger(__name__)

PAUSE_S = 2.0  # between looks; longer where what is looked at is large
LONGEST_PAUSE_S = 10.0
SHARE = 0.04  # of a core, for all that is asked after a look
REMEMBERED = 600  # changes that a viewer who comes back may have missed
WAITING = 100  # changes that a viewer may lag behind before it is told to fetch all anew


@dataclass(frozen=True)
class Change:
    """`views` of a pipeline have something new; None: all may have. `id` says where to go on."""

    id: str
    views: tuple[str, ...] | None


@dataclass(eq=False)
class Viewer:
    pipeline: str
    loop: asyncio.AbstractEventLoop
    changes: "asyncio.Queue[Change | None]" = field(default_factory=lambda: asyncio.Queue(WAITING))
    """None is the end."""


class Live:
    """`wanted`: view → what it shows, by the names of `Overview.marks` or of `also`: figures of other
    sources than the store, pipeline → name → figure."""

    def __init__(
        self,
        config: Config,
        store: Store,
        wanted: Mapping[str, Iterable[str]],
        also: Callable[[str], dict[str, tuple[int, ...]]],
    ) -> None:
        self._store, self._also = store, also
        self._wanted = {view: frozenset(what) for view, what in wanted.items()}
        self._cuts = {name: each.cut(each.student).id for name, each in config.pipelines.items()}
        self._viewers: set[Viewer] = set()
        self._lock = threading.Lock()
        self._watched, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard-live", daemon=True)
        self._life, self._number = secrets.token_hex(4), itertools.count(1)
        self._past: dict[str, deque[Change]] = {name: deque(maxlen=REMEMBERED) for name in config.pipelines}
        self._before: dict[str, dict[str, tuple[int, ...]]] = {}
        self._trouble = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._watched.set()
        self._thread.join()
        with self._lock:
            for viewer in self._viewers:
                viewer.loop.call_soon_threadsafe(_put, viewer, None)

    def join(self, pipeline: str, after: str) -> Viewer:
        """A viewer, who has first to take what it missed `after` the change of this id."""
        viewer = Viewer(pipeline, asyncio.get_running_loop())
        with self._lock:
            _put(viewer, self._missed(pipeline, after))
            self._viewers.add(viewer)
        self._watched.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._watched.clear()

    def _missed(self, pipeline: str, after: str) -> Change:
        """One change for all of them. Who comes from another life, or too late, fetches all."""
        past = self._past[pipeline]
        ids = [change.id for change in past]
        now = ids[-1] if ids else f"{self._life}-0"
        if after not in ids:
            return Change(now, None)
        missed = [change.views for change in list(past)[ids.index(after) + 1 :]]
        if None in missed:
            return Change(now, None)
        return Change(now, tuple(sorted({view for views in missed for view in views or ()})))

    def _run(self) -> None:
        pause, spent = PAUSE_S, time.process_time()
        while not self._stopping.is_set():
            self._watched.wait()
            with self._lock:
                pipelines = {viewer.pipeline for viewer in self._viewers}
            for name in pipelines:
                self._look(name)
            self._stopping.wait(pause)
            spent, before = time.process_time(), spent
            pause = min(max(PAUSE_S, (spent - before) / SHARE), LONGEST_PAUSE_S)

    def _look(self, name: str) -> None:
        try:
            now = self._store.overview.marks(name, self._cuts[name]) | self._also(name)
        except StoreError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("%s", error)
            return
        self._trouble = ""
        before = self._before.get(name)
        self._before[name] = now
        if before is None:  # whoever fetched before this first look may have missed something
            self._tell(name, None)
            return
        new = {what for what, figures in now.items() if before.get(what) != figures}
        if views := tuple(sorted(view for view, what in self._wanted.items() if what & new)):
            self._tell(name, views)

    def _tell(self, pipeline: str, views: tuple[str, ...] | None) -> None:
        change = Change(f"{self._life}-{next(self._number)}", views)
        with self._lock:
            self._past[pipeline].append(change)
            for viewer in self._viewers:
                if viewer.pipeline == pipeline:
                    viewer.loop.call_soon_threadsafe(_put, viewer, change)


def _put(viewer: Viewer, change: Change | None) -> None:
    """On the viewer's loop. One who does not keep up fetches all."""
    if viewer.changes.full():
        while not viewer.changes.empty():
            viewer.changes.get_nowait()
        change = change and Change(change.id, None)
    viewer.changes.put_nowait(change)
