"""The collector: readings are in the journal, on the disk, before the broker hears that they arrived."""

import gc
import logging
import threading
import time
from collections.abc import Callable

from iot_stream.config import Config
from iot_stream.errors import StoreError
from iot_stream.ingest import share
from iot_stream.ingest.cutter import Cutter
from iot_stream.ingest.intake import Intake
from iot_stream.ingest.packets import Received
from iot_stream.ingest.primary_host import primary_hosts
from iot_stream.ingest.receiver import Listen, receiver
from iot_stream.mqtt import RECEIVE_MAXIMUM
from iot_stream.presence import Presence
from iot_stream.store import Store
from iot_stream.store.faults import Quarantined

log = logging.getLogger(__name__)

GROUP = 5000  # messages in a transaction at most
ENOUGH = RECEIVE_MAXIMUM // 2  # for one: the broker sends on while they are written
GROUP_S = 0.02
SAVE_S = 2.0
SAVING = 0.03  # share of the time for that, at most: with many devices it is much
RETAIN_S = 10.0
CUTTING = 0.05  # share of the time for windows while messages wait: the more at once, the cheaper
RETRY_S = 1.0
TAKING_WAITS = "not acknowledging, the broker keeps what comes"
CUTTING_WAITS = "windows have to wait"
GARBAGE = (
    100_000,
    20,
    20,
)  # messages make no cycles: to look for some after 700 objects is a fifth of all work
PIECE, WINDOWS = 10, 100  # segments, and windows, that go at once when the store is full


class Collector:
    def __init__(self, config: Config, store: Store, listen: Listen = receiver, *, name: str = "") -> None:
        """`listen` makes the receiver; a `name` tells it from others with which it shares the work.

        Raises ConfigError if that cannot be.
        """
        if name:
            share.check(config, name)
        self._config = config
        self._store = store
        self._intake = Intake(config, store)
        part, patterns = share.part(name), self._intake.patterns
        self._presence = Presence(config.prefix, part)
        self._receiver = listen(
            config.address,
            f"{config.prefix}-{part}",
            share.shared(patterns, config) if name else patterns,
            self._presence,
        )
        self._alone = not name  # who shares the work hears a part of what is said
        self._hosts = primary_hosts(config)
        self._cutters: list[tuple[str, Cutter]] = []
        self._leading = False

    def _new_cutters(self) -> list[tuple[str, Cutter]]:
        """As the store has them."""
        return [
            (name, Cutter(self._store, name, pipeline, cut, wait))
            for name, pipeline in self._config.pipelines.items()
            for cut, wait in pipeline.cuts.items()
        ]

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping`; then what was taken is written, acknowledged and cut."""
        gc.set_threshold(*GARBAGE)
        self._lead()
        self._receiver.start()
        log.info("collector: listens to %s at %s", ", ".join(self._intake.patterns), self._config.address)
        for host in self._hosts:
            host.start()
        cut = _Share(CUTTING)
        save = _Share(SAVING, SAVE_S)
        retain = _Every(RETAIN_S)
        more = False
        try:
            while not stopping.is_set():
                batch = self._receiver.take(GROUP, GROUP_S, ENOUGH)
                self._collect(batch, stopping)
                try:
                    if cut.due() or not batch:
                        self.cut()
                        cut.rest()
                        self._go_on(CUTTING_WAITS)
                    if save.due():
                        self._lead()
                        self._say_news()
                        self._save()
                        self._obey()
                        save.rest()
                    if self._leading and (more or retain.due()):
                        more = self._retain()
                except StoreError as error:
                    self._hold(CUTTING_WAITS, error)
                    stopping.wait(RETRY_S)
                    self._cutters = []  # they must not remember what the store has not
        finally:
            for host in self._hosts:
                host.stop()
            self._receiver.stop()
        self._say_news()
        self.cut()
        self._save()

    def _say_news(self) -> None:
        now = time.monotonic()
        self._intake.say_news(now)
        if self._alone:
            self._intake.say_silent(now)

    def _collect(self, batch: list[Received], stopping: threading.Event) -> None:
        """One transaction for the batch, then its acknowledgements, in the order of delivery."""
        while batch and not stopping.is_set():
            try:
                with self._store.write() as tx:
                    self._intake.take_all(tx, batch)
                    self._intake.conclude(tx)
            except StoreError as error:
                self._intake.take_back()
                self._hold(TAKING_WAITS, error)
                stopping.wait(RETRY_S)
                continue
            self._go_on(TAKING_WAITS)
            self._receiver.acknowledge(batch)
            self._ask()
            return

    def _ask(self) -> None:
        for topic, payload in self._intake.committed():
            self._receiver.publish(topic, payload)

    def _hold(self, what: str, error: StoreError) -> None:
        """Say once, in the log and on the broker, that there is no going on."""
        fault = f"{what}: {error}"
        if fault != self._presence.fault:
            log.error("%s; trying again", fault)
            self._presence.fault = fault
            self._receiver.say_again()

    def _go_on(self, what: str) -> None:
        if self._presence.fault.startswith(what):
            log.warning("going on: the store takes what comes again")
            self._presence.fault = ""
            self._receiver.say_again()

    def _lead(self) -> None:
        """Who shares the work leaves to one what must be done by one: cutting, commands, retention."""
        self._leading = self._store.leads(f"{self._config.prefix} collector")
        if not self._leading:
            self._cutters = []

    def cut(self) -> None:
        """All windows that the journal has whole."""
        if self._leading and not self._cutters:
            self._cutters = self._new_cutters()
        for _, cutter in self._cutters:
            more = 1
            while more:
                with self._store.write() as tx:
                    more = cutter.advance(tx)

    def _save(self) -> None:
        for name in self._config.pipelines:
            with self._store.write() as tx:
                self._store.journal.save_known(tx, name)
        for name, cutter in self._cutters:
            with self._store.write() as tx:
                cutter.idle(tx, self._intake.clocks[name].now())
                cutter.save(tx)

    def _obey(self) -> None:
        """Commands that are ours: try quarantined messages again, or drop them."""
        if not self._leading:
            return
        for command in self._store.registry.open_commands("quarantine_replay", "quarantine_drop"):
            if command.pipeline in self._config.pipelines:
                rows = self._store.faults.quarantined(command.pipeline, **command.arguments)
                again = command.kind == "quarantine_replay"
                outcome = self._again(command.pipeline, rows) if again else self._drop(rows)
                self._store.registry.close_command(command.id, "done", outcome)

    def _again(self, pipeline: str, rows: list[Quarantined]) -> str:
        whole = [row for row in rows if row.whole]
        refused = 0
        with self._store.write() as tx:
            self._store.faults.drop_quarantined(tx, [row.id for row in whole])
            for row in whole:
                refused += bool(self._intake.take(tx, row.topic, row.payload, pipeline))
            self._intake.conclude(tx)
        self._ask()
        cut = f"; {len(rows) - len(whole)} are kept in part only, and stay" if len(rows) > len(whole) else ""
        return f"{len(whole) - refused} of {len(rows)} messages taken, {refused} refused again{cut}"

    def _drop(self, rows: list[Quarantined]) -> str:
        with self._store.write() as tx:
            self._store.faults.drop_quarantined(tx, [row.id for row in rows])
        return f"{len(rows)} messages dropped"

    def _retain(self) -> bool:
        """Forget one piece of what is too old, or too much; True if there may be more."""
        gone = 0
        full = self._store.used() > self._config.store_limit
        for name, pipeline in self._config.pipelines.items():
            oldest = self._intake.clocks[name].now() - int(pipeline.retention)
            if full:
                oldest = max(oldest, self._store.journal.oldest(name, PIECE) or 0)
            with self._store.write() as tx:
                went = self._store.journal.retain(tx, name, oldest)
                self._store.summaries.retain(tx, name, oldest)
                if full and not went:  # windows that overlap may be more than the readings they are of
                    went = self._store.journal.drop_windows(tx, name, WINDOWS)
            gone += went
        return gone > 0


class _Share:
    """True as long as what follows, up to `rest`, takes no more than this share of the time; not sooner than
    `least` seconds after the last."""

    def __init__(
        self, share: float, least: float = 0.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._share, self._least, self._monotonic = share, least, monotonic
        self._began = self._next = monotonic() + least

    def due(self) -> bool:
        self._began = self._monotonic()
        return self._began >= self._next

    def rest(self) -> None:
        now = self._monotonic()
        self._next = now + max(self._least, (now - self._began) * (1 / self._share - 1))


class _Every:
    """True once in so many seconds."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._monotonic = seconds, monotonic
        self._next = monotonic() + seconds

    def due(self) -> bool:
        if self._monotonic() < self._next:
            return False
        self._next = self._monotonic() + self._seconds
        return True
