"""The rounds of a pipeline, live: data from the store, a teacher for all, a student for each cohort."""

import logging
import time
from functools import partial
from pathlib import Path

import numpy as np

from iot_stream import logs, topics
from iot_stream.clock import iso, wall
from iot_stream.config import Config, Pipeline
from iot_stream.config.cohorts import ALL
from iot_stream.distill import outliers
from iot_stream.distill.material import Material
from iot_stream.distill.outliers import Found
from iot_stream.distill.student import Packed
from iot_stream.errors import IotStreamError, ModelError, NotTaughtYet, TeacherAway
from iot_stream.service import bootstrap, learning, models, round, versions
from iot_stream.service.bootstrap import Bootstrap
from iot_stream.service.chronicle import Chronicle, Listeners
from iot_stream.service.cohort import Begun, Cohort
from iot_stream.service.holding import Holding
from iot_stream.service.learning import Prepared
from iot_stream.service.members import Members
from iot_stream.service.scoring import Scoring, newest
from iot_stream.service.watching import Watching
from iot_stream.store import Store
from iot_stream.store.doubts import CLEAR
from iot_stream.store.registry import Command

log = logging.getLogger(__name__)

AGAIN_S = 1.0  # between two questions to a teacher that has nothing to say yet, or is away
OTHER_S, SAME_S = 10.0, 60.0  # between two words of what is waited for, another one or the same
MEMBERS_S = 1.0  # between two looks at who belongs where


class Rounds:
    """Of one pipeline: what comes before the first, what starts one, what becomes of it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        name: str,
        pipeline: Pipeline,
        folder: Path,
        listeners: Listeners,
    ) -> None:
        self._name, self._pipeline, self._store, self._folder = name, pipeline, store, folder
        self._chronicle = partial(Chronicle, config.prefix, store, name, pipeline, listeners)
        self._prepared: Prepared | None = None
        self._scoring: Scoring | None = None
        self._cohorts: dict[str, Cohort] = {}
        self._counted: dict[str, int] = {}  # windows of each device that its cohort has been told of
        self._members = Members(store, name, pipeline.cohorts)
        self._members_again = 0.0
        self._watching, self._holding = Watching(store, name, pipeline), Holding(store, name, pipeline)
        self._command: Command | None = None
        self._again = 0.0  # when the teacher is asked again, on the monotonic clock
        self._waiting, self._said = "", float("-inf")  # what for, as it was said, and when

    # --- before the first round -------------------------------------------------------------

    def ready(self) -> bool:
        """Prepared, now or before; while the teacher has not taught enough, it says so."""
        if self._prepared is None and time.monotonic() >= self._again:
            try:
                self.prepare()
            except NotTaughtYet as error:
                self._wait(str(error))
        return self._prepared is not None

    def _wait(self, why: str) -> None:
        """Say why, now and then."""
        now = time.monotonic()
        self._again = now + AGAIN_S
        if now >= self._said + (SAME_S if why == self._waiting else OTHER_S):
            self._waiting, self._said = why, now
            chronicle = self._chronicle(ALL)
            chronicle.progress(chronicle.round_id, "teacher", why)

    def prepare(self) -> None:
        """Teacher, first student and rivals; the first student is released as it is where nothing runs yet,
        or what runs has another form than is configured now."""
        self.interrupted()
        registry, every = self._store.registry, self._chronicle(ALL)
        say = partial(every.progress, every.round_id)
        self._prepared = learning.prepare(
            registry, self._name, self._pipeline, self._folder, say, self._heard
        )
        for name in dict.fromkeys((ALL, *registry.cohorts(self._name))):
            self._open(name, self._prepared.first)
        teacher = models.tuned(registry, self._prepared.teacher, self._pipeline)
        # Devices have their first student by now; the rivals are wanted for scoring only.
        rivals = learning.rivals(registry, self._prepared, say)
        watching = self._watching if self._pipeline.triggers.drift else None
        self._scoring = Scoring(self._store, self._name, self._pipeline, teacher, rivals, watching)
        self._counted = dict(self._scoring.scored)
        for device, count in self._counted.items():
            self._cohorts[self._members.of(device)].scored += count
        heard = self._prepared.learner.bootstrap
        heard = heard if self._prepared.cold else heard.rows(np.arange(0))
        for cohort in self._cohorts.values():
            cohort.go_on(heard.rows(self._members.rows(heard.devices, cohort.name)))
        say("bootstrap", topics.READY)

    def interrupted(self) -> None:
        """Rounds that nobody will end are written down as such."""
        self._chronicle(ALL).interrupted()

    def _heard(self) -> Bootstrap:
        student, teacher = (
            newest(self._store, self._name, self._pipeline, self._pipeline.cut(network))
            for network in (self._pipeline.student, self._pipeline.teacher)
        )
        return bootstrap.together(student, teacher)

    def _open(self, name: str, first: Packed, since: str = "") -> None:
        """A cohort with a version that its devices can take; `since`: where it comes from."""
        assert self._prepared is not None
        cohort = self._cohorts[name] = Cohort(self._chronicle(name), self._prepared)
        if why := since or self._why_anew(cohort):
            cohort.first(f"first version: {why}", first)

    def _why_anew(self, cohort: Cohort) -> str:
        assert self._prepared is not None
        newest = cohort.chronicle.newest
        if newest is None:
            return "nothing to compare with"
        return versions.another_form(self._store, newest, self._prepared.learner)

    # --- between the rounds -----------------------------------------------------------------

    def score(self) -> None:
        """What teacher and rivals say of windows that are new."""
        assert self._scoring is not None
        if time.monotonic() >= self._again:
            try:
                self._scoring.hear_teacher()
            except TeacherAway as error:
                self._wait(str(error))
        self._scoring.hear_rivals()

    def obey(self) -> None:
        """Commands that are ours: distil now, roll back, clear the teacher."""
        ours = {"rollback": self._roll_back, CLEAR: self._clear_teacher}
        for command in self._store.registry.open_commands("distil", *ours):
            if command.pipeline != self._name:
                continue
            if command.kind == "distil":
                if self._holding.paused:
                    self._store.registry.close_command(command.id, "failed", f"{self._name} is paused")
                    continue
                self._command = command
                continue
            try:
                outcome = ours[command.kind](command)
                self._store.registry.close_command(command.id, "done", outcome)
            except IotStreamError as error:
                self._store.registry.close_command(command.id, "failed", str(error))

    def _roll_back(self, command: Command) -> str:
        cohort = str(command.arguments.get("cohort", ALL))
        if cohort not in self._cohorts:
            raise ModelError(f"{self._name} has no cohort {cohort}; there are {', '.join(self._cohorts)}")
        assert self._prepared is not None
        told = command.arguments
        back = {"rollback_by": told["person"], "rollback_because": told["why"]} if "person" in told else {}
        return self._cohorts[cohort].chronicle.roll_back(
            int(told["version"]), self._prepared.learner, back, int(told.get("above", 0))
        )

    def _clear_teacher(self, command: Command) -> str:
        """What is set aside; that it is, the closed command says to the rounds that follow."""
        doubts = self._store.doubts.standing(self._name)
        if not doubts:
            raise ModelError(f"the teacher of {self._name} is not held")
        reasons = "; ".join(dict.fromkeys(doubt.reason for doubt in doubts))
        return f"the teacher is believed again; set aside until {iso(command.arguments['until'])}: {reasons}"

    def _move(self, moves: dict[str, str]) -> None:
        """Devices to other cohorts, of which new ones start from what most of their devices run."""
        for name in dict.fromkeys(moves.values()):
            if name not in self._cohorts:
                parent = self._members.of(next(device for device, to in moves.items() if to == name))
                running = self._cohorts[parent].chronicle.newest
                assert running is not None, "every cohort has a version"
                packed = versions.packed_version(self._store, running)
                self._open(name, packed, f"version {running.version} of {parent}")
        if moves:
            self._members.assign(moves)
            moved = ", ".join(f"{each} to {to}" for each, to in moves.items())
            log.info("%s: %s", self._name, moved, extra=logs.about(pipeline=self._name))

    def _count(self) -> None:
        """Tell each cohort of the windows of its devices that are new; of those that are held, later."""
        assert self._scoring is not None
        if time.monotonic() >= self._members_again:
            self._members_again = time.monotonic() + MEMBERS_S
            self._move(self._members.news(self._scoring.scored))
        held = self._holding.devices
        for device, count in self._scoring.scored.items():
            if device not in held and (fresh := count - self._counted.get(device, 0)):
                self._counted[device] = count
                self._cohorts[self._members.of(device)].scored += fresh

    # --- rounds -----------------------------------------------------------------------------

    def _now(self) -> int:
        return self._store.journal.now(self._name) if self._pipeline.clock == "stream" else wall()

    def step(self, once: bool = False) -> None:
        """A round of each cohort that has a reason for one."""
        self._count()
        due = {name: why for name, cohort in self._cohorts.items() if (why := self._reason(cohort, once))}
        if not due or self._holding.paused:
            return
        command, self._command = self._command, None
        outcomes = self._rounds(due)
        if command is not None:
            self._store.registry.close_command(command.id, "done", "; ".join(outcomes))

    def _reason(self, cohort: Cohort, once: bool) -> str | None:
        trigger = cohort.trigger
        if trigger.watches:
            trigger.watch(self._watching.fresh(self._members, cohort.name))
        if once or self._command is not None:
            return "command" if cohort.scored or len(self._cohorts) == 1 else None
        labels = 0
        if self._pipeline.triggers.labels:
            counts = self._store.journal.label_counts(self._name, trigger.last_round)
            labels = sum(n for device, n in counts.items() if self._members.of(device) == cohort.name)
        return trigger.reason(self._now(), cohort.scored, labels)

    def _rounds(self, due: dict[str, str]) -> list[str]:
        assert self._prepared is not None
        assert self._scoring is not None
        now, bootstrapped = self._now(), self._prepared.learner.bootstrap
        material = self._scoring.material()
        found = self._holding.look(material, bootstrapped)
        material = outliers.without(material, found.leavers)
        if moves := self._members.regrouped(material, bootstrapped):
            self._move(moves)
            due |= {self._members.of(device): "cohort: its devices have changed" for device in moves}
        rows = {name: self._members.rows(material.devices, name) for name in due}
        begun = [
            started
            for name, why in due.items()
            if (started := self._cohorts[name].begin(why, now, material.rows(rows[name])))
        ]
        beside = material.rows(~np.logical_or.reduce(list(rows.values())))
        return self._ended(begun, beside, found)

    def _ended(self, begun: list[Begun], beside: Material, found: Found) -> list[str]:
        assert self._scoring is not None
        teacher = self._scoring.teacher
        results = round.together([each.round for each in begun], teacher, beside)
        taught = {id(each.teacher): each.teacher for each in results if isinstance(each, round.Result)}
        tuned = next((each for each in taught.values() if each is not teacher), None)
        # Where one cohort's round holds the teacher, it is as it was for all.
        if tuned is not None and len(taught) == 1:
            models.keep_tuned(self._store.registry, tuned, begun[0].row.id)
            self._scoring.teacher = tuned
        return [
            each.cohort.end(each, result, found, self._scoring.excluded)
            for each, result in zip(begun, results, strict=True)
        ]
