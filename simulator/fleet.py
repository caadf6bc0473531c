"""A fleet in a simulated world: each machine reads in its own rhythm, and drifts as scheduled."""

import heapq
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iot_stream.clock import SECOND, wall
from simulator.ledger import Bookkeeper, DriftRecord, Ledger
from simulator.scenario import Scenario
from simulator.station import Station
from simulator.world import Condition, Machine, World

NewStation = Callable[[str, Bookkeeper, random.Random], Station]


@dataclass
class _Member:
    station: Station
    machine: Machine
    condition: Condition
    rng: random.Random
    period: float  # seconds between messages
    offset: int  # ns by which its clock is wrong
    changed: str = ""  # a drift whose first reading is still to come


class Fleet:
    def __init__(self, world: World, scenario: Scenario, new_station: NewStation) -> None:
        self._world, self._scenario = world, scenario
        for change in scenario.schedule:  # a wrong name is found now, not when its time comes
            world.condition(change.regime or None, **change.change)
        self._book = Bookkeeper(wall())
        self.members = [self._member(i, new_station) for i in range(scenario.devices)]
        self._changes = sorted(scenario.schedule, key=lambda change: change.at)

    def _member(self, index: int, new_station: NewStation) -> _Member:
        scenario, faults = self._scenario, self._scenario.faults
        number = scenario.first + index
        rng = random.Random(f"{scenario.seed}/{number}")
        nominal = self._world.period_ns / SECOND
        return _Member(
            new_station(f"machine-{number:02d}", self._book, rng),
            self._world.machine(number, scenario.seed),
            self._world.condition(),
            rng,
            nominal * (1 + faults.rate_spread * rng.uniform(-1, 1)),
            int(rng.gauss(0, 1) * int(faults.clock_offset)),
        )

    def start(self) -> None:
        """Connect all; raises BrokerError."""
        for member in self.members:
            member.station.client.start()

    def run(self, stopping: threading.Event) -> Ledger:
        """Until the scenario's time is over; then waits for what is not acknowledged yet."""
        began = time.monotonic()
        self._book.started = wall()
        queue = [(member.rng.random() * member.period, i) for i, member in enumerate(self.members)]
        heapq.heapify(queue)
        while queue and not stopping.is_set():
            due, index = heapq.heappop(queue)
            if due >= self._scenario.seconds:
                continue
            stopping.wait(max(0.0, began + due - time.monotonic()))
            self._drift(time.monotonic() - began)
            member = self.members[index]
            self._read(member)
            pause = member.period * max(0.1, 1 + self._scenario.faults.jitter * member.rng.gauss(0, 1))
            heapq.heappush(queue, (due + pause, index))
        for member in self.members:
            member.station.stop_line()
        return self._book.close(wall())

    def _drift(self, elapsed: float) -> None:
        while self._changes and int(self._changes[0].at) <= elapsed * SECOND:
            change = self._changes.pop(0)
            for index in change.devices or range(len(self.members)):
                member = self.members[index % len(self.members)]
                base = dict(self._world.condition(change.regime)) if change.regime else dict(member.condition)
                member.condition = base | change.change
                member.changed = change.regime or ", ".join(f"{k} {v:g}" for k, v in change.change.items())

    def _read(self, member: _Member) -> None:
        if member.rng.random() < self._scenario.faults.dropouts:
            return
        now = wall()
        burst = member.machine.burst(now + member.offset, member.condition, self._scenario.readings or None)
        if member.changed:
            record = DriftRecord(member.station.name, member.changed, now, int(burst.times[0]))
            self._book.drifts.append(record)
            member.changed = ""
        member.station.read(burst.times, np.asarray(burst.values, np.float32), burst.label)

    def stop(self) -> None:
        for member in self.members:
            member.station.stop()
