"""Windows from the journal: one cutter a pipeline and cut, each device once, in order.

A cutter reads the journal from its position on. Its position and what it remembers of each device
are saved together now and then; after a crash it reads a piece of the journal again and makes the
same windows, which the store has under their keys already. So each window exists exactly once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec
import numpy as np

from iot_stream import logs
from iot_stream.config import Pipeline, sampled_source
from iot_stream.cut import Cut
from iot_stream.hygiene import Counts
from iot_stream.ingest.loss import LossAlarm
from iot_stream.order import Rows, Sorter
from iot_stream.readings import SAMPLED, Block, joined
from iot_stream.store import Store, Transaction
from iot_stream.store.totals import WINDOWS
from iot_stream.windows import Windower, Windows

log = logging.getLogger(__name__)

READ = 50  # segments


class _State(msgspec.Struct, array_like=True):
    sorter: bytes
    windower: bytes
    since: int


@dataclass
class _Device:
    sorter: Sorter
    windower: Windower
    heard: int = 0  # readings since the last save
    since: int = 0  # when the sensor of this name was last replaced (ns)
    counted: Counts = field(default_factory=dict)

    def replaced(self, since: int) -> None:
        """Another sensor speaks under this name: nothing that was remembered holds for it."""
        self.since = since
        self.anew()

    def anew(self) -> None:
        """What comes is cut as if nothing had come before."""
        former = self.windower
        self.windower = Windower(former.cut, former.dropped)
        self.windower.judge.counts = former.judge.counts

    def rebooted(self) -> None:
        """On a grid, windows are where they are; else the device begins to count anew, and so do we."""
        if not self.windower.cut.period:
            self.anew()

    def counts(self) -> Counts:
        """(reason, channel) → how many readings or values fell out, since this device is known."""
        return self.windower.judge.counts | {
            ("lost", ""): self.sorter.lost,
            ("late", ""): self.sorter.late,
            ("unusable", ""): self.windower.dropped,
        }


class Cutter:
    def __init__(self, store: Store, name: str, pipeline: Pipeline, cut: Cut, wait: int) -> None:
        """`wait` in ns: how long a row waits for channels of another source."""
        self._journal, self._faults = store.journal, store.faults
        self._scope, self._memory, self._totals = store.scope, store.memory, store.totals
        self._name = name
        self._cut = cut
        self._sources = pipeline.sources_of(cut)
        self._sampled = sampled_source(pipeline, cut)
        self._counts = _counted_by(cut, pipeline)
        self._lateness, self._wait = int(pipeline.window.lateness), wait
        self._alarm = LossAlarm(pipeline.loss_alarm)
        self._devices: dict[str, _Device] = {}
        self._replacements: dict[str, list[int]] = {}
        self._changed: set[str] = set()
        self._found: list[tuple[str, Windows, int]] = []  # in this transaction
        self._position = self._memory.position(name, cut.id)
        for device, payload in self._memory.cutter_states(name, cut.id).items():
            state = msgspec.msgpack.decode(payload, type=_State)
            known = self._device(device)
            known.sorter.restore(state.sorter)
            known.windower, known.since = Windower.restore(cut, state.windower), state.since
            known.counted = known.counts()

    def _device(self, name: str) -> _Device:
        if name not in self._devices:
            sorter = Sorter(self._cut.channels, self._sources, self._lateness, self._wait)
            self._devices[name] = _Device(sorter, Windower(self._cut))
        return self._devices[name]

    def advance(self, tx: Transaction) -> int:
        """Cut the next piece of the journal; returns how many blocks it had, 0 at the end."""
        entries = self._journal.after(self._name, self._position, READ)
        if entries:
            self._replacements = self._scope.replacements(self._name)
        heard: dict[str, list[Block]] = {}
        for entry in entries:
            self._position, arrived = entry.id, entry.arrived
            if (block := self._mine(entry.block)) is not None:
                heard.setdefault(block.device, []).append(block)
        for name, blocks in heard.items():
            device = self._device(name)
            for block in joined(blocks):
                device.heard += len(block) if block.numbered else 0
                self._push(name, device, device.sorter.push(block, arrived), arrived)
        self._keep(tx)
        return len(entries)

    def _mine(self, block: Block) -> Block | None:
        """Of a device that sends a sample, windows come as they are, but where others know more of them."""
        if block.source != SAMPLED:
            return block
        return None if self._sampled is None else block.of_source(self._sampled)

    def idle(self, tx: Transaction, now: int) -> None:
        """Go on with what has waited long enough."""
        for name, device in self._devices.items():
            rows = device.sorter.idle(now)
            if len(rows.times):
                self._push(name, device, rows, now)
        self._keep(tx)

    def _keep(self, tx: Transaction) -> None:
        if self._found:
            made = self._journal.add_windows(tx, self._name, self._cut.id, self._found)
            self._totals.add(tx, self._name, WINDOWS + self._cut.id, made)
            self._found = []

    def _push(self, name: str, device: _Device, rows: Rows, arrived: int) -> None:
        self._changed.add(name)
        if not len(rows.times):
            return
        borders: list[tuple[int, Callable[[], None]]] = [
            (since, partial(device.replaced, since))
            for since in self._replacements.get(name, ())
            if device.since < since <= rows.times[-1]
        ]
        borders += [(since, device.rebooted) for since in device.sorter.reached(int(rows.times[-1]))]
        for since, begin in sorted(borders, key=lambda border: border[0]):
            before = int(np.searchsorted(rows.times, since))
            self._cut_rows(name, device, rows.part(slice(0, before)), arrived)
            rows = rows.part(slice(before, None))
            begin()
        self._cut_rows(name, device, rows, arrived)

    def _cut_rows(self, name: str, device: _Device, rows: Rows, arrived: int) -> None:
        windows = device.windower.push(rows.times, rows.values, rows.missed)
        if len(windows):
            self._found.append((name, windows, arrived))

    def save(self, tx: Transaction) -> None:
        """Position and memory of the devices that changed, in one transaction; counts what fell out."""
        states = {}
        for name in self._changed:
            device = self._devices[name]
            counts = device.counts()
            if "" in self._counts:
                lost = counts["lost", ""] - device.counted.get(("lost", ""), 0)
                if said := self._alarm.look(name, lost, device.heard):
                    extra = logs.about(pipeline=self._name, device=name)
                    log.warning("%s: %s", self._name, said, extra=extra)
            device.heard = 0
            for key, now in counts.items():
                if now > device.counted.get(key, 0) and key[1] in self._counts:
                    self._faults.count(tx, self._name, name, key[0], now - device.counted.get(key, 0))
            device.counted = counts
            states[name] = msgspec.msgpack.encode(
                _State(device.sorter.snapshot(), device.windower.snapshot(), device.since)
            )
        self._memory.save_cutters(tx, self._name, self._cut.id, self._position, states)
        self._changed.clear()


def _counted_by(cut: Cut, pipeline: Pipeline) -> set[str]:
    """Channels whose bad values this cut's cutter counts, and "" for readings: both models may read the same,
    and nothing is to be counted twice. The student's counts first."""
    student = pipeline.cut(pipeline.student)
    if cut == student:
        return {"", *cut.channels}
    own = set(pipeline.sources_of(cut)) - set(pipeline.sources_of(student))
    return set(cut.channels) - set(student.channels) | ({""} if own else set())
