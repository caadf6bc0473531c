"""What becomes of a cohort's rounds: rows and versions in the registry, events on the broker."""

import logging
import time
from typing import Any, Protocol

from iot_stream import logs, topics
from iot_stream.clock import wall
from iot_stream.config import Pipeline
from iot_stream.distill.student import Packed
from iot_stream.errors import ModelError
from iot_stream.service import versions
from iot_stream.service.stages import Learner
from iot_stream.store import Store
from iot_stream.store.doubts import Clearing
from iot_stream.store.registry import Round, Version

log = logging.getLogger(__name__)

LOG_S = 10.0  # between two steps of a training in the log
STEP = "step "
NOT_KEPT = ("delta", "rollback_by", "rollback_because")  # of a version whose weights come again


class Listeners(Protocol):
    """Who is told of rounds as they go: the broker, where there is one."""

    def publish(self, topic: str, payload: bytes) -> object: ...


class Chronicle:
    def __init__(
        self, prefix: str, store: Store, name: str, pipeline: Pipeline, listeners: Listeners, cohort: str
    ) -> None:
        self._prefix, self._name, self._pipeline = prefix, name, pipeline
        self.store, self._listeners, self.cohort = store, listeners, cohort
        self._step_logged = float("-inf")

    @property
    def rounds(self) -> list[Round]:
        """The cohort's, oldest first."""
        return self.store.registry.rounds(self._name, self.cohort)

    @property
    def newest(self) -> Version | None:
        return self.store.registry.newest(self._name, self.cohort)

    @property
    def cleared(self) -> Clearing | None:
        """Of what a person has cleared the pipeline's teacher."""
        return self.store.doubts.cleared(self._name)

    @property
    def round_id(self) -> str:
        """Of the next."""
        return f"{self._name}-{self.cohort}-{len(self.rounds):04d}"

    def past(self, running: Version) -> list[bytes]:
        """The last versions of the running one's form, that it is to be averaged with."""
        registry, count = self.store.registry, self._pipeline.distill.average
        form = (running.graph, running.spec)
        alike = [v.resume for v in registry.versions(self._name, self.cohort) if (v.graph, v.spec) == form]
        return [registry.artifact(resume) for resume in alike[max(0, len(alike) - count) :]]

    def row(self, reason: str, stream_started: int) -> Round:
        """Of a round that begins now."""
        return Round(
            self.round_id, self._name, self.cohort, reason, wall(), None, stream_started, "running", {}
        )

    def begin(self, reason: str, stream_started: int) -> Round:
        row = self.row(reason, stream_started)
        with self.store.write() as tx:
            self.store.registry.save_round(tx, row)
        self.tell("started", row.id, trigger=reason)
        return row

    def finish(
        self,
        row: Round,
        outcome: str,
        report: dict[str, Any],
        teacher: str,
        released: Packed | None,
        rejected: Packed | None = None,
    ) -> None:
        """Round and version in one transaction: no version without its report. A candidate that failed is
        kept beside its report, for a person to look at. `teacher`: its key."""
        provenance = {name: part for name, part in report.items() if name != "why"} | {
            "teacher": teacher,
            "settings": repr(self._pipeline.distill),
            "network": repr(self._pipeline.student),
        }
        with self.store.write() as tx:
            if rejected is not None:
                report = report | {"candidate": self.store.registry.put_artifact(tx, rejected.weights)}
            if released is not None:
                version = versions.add_version(
                    self.store, tx, self._name, self.cohort, row.id, released, provenance
                )
                report = report | {"version": version.version}
            self.store.registry.save_round(tx, row._replace(ended=wall(), outcome=outcome, report=report))
        if released is None:
            self.tell(outcome, row.id)

    def interrupted(self) -> None:
        """Rounds of the pipeline that were under way when a process ended, or are now that this one does."""
        with self.store.write() as tx:
            self.store.registry.interrupt_rounds(tx, self._name, wall())

    def roll_back(self, number: int, learner: Learner, asked: dict[str, str], above: int = 0) -> str:
        """A new version with an old one's weights, of a number above `above`; `asked`: by whom and why, for
        its provenance. Raises ModelError where rounds could not go on from it."""
        known = self.store.registry.versions(self._name, self.cohort)
        old = next((v for v in known if v.version == number), None)
        if old is None:
            of = self._name if self.cohort == "all" else f"cohort {self.cohort} of {self._name}"
            raise ModelError(f"{of} has no version {number}; `iot-stream models list` shows them")
        if why := versions.another_form(self.store, old, learner):
            raise ModelError(
                f"version {number} is of another form: {why}; to roll back to it, set that back in the "
                "configuration and restart `iot-stream serve`"
            )
        with self.store.write() as tx:
            packed = versions.packed_version(self.store, old)
            kept = {name: part for name, part in old.provenance.items() if name not in NOT_KEPT}
            back = {"rollback_of": number, "gate": {"reason": f"rolled back to version {number}"}}
            provenance = kept | back | asked
            version = versions.add_version(
                self.store, tx, self._name, self.cohort, old.round, packed, provenance, above
            )
        told = f"version {version.version} carries the weights of version {number}"
        return f"{told}; rounds go on from it, unless `iot-stream pause {self._name}` stops them"

    def progress(self, round_id: str, stage: str, detail: str) -> None:
        """Who watches hears every step of a training; the log keeps one now and then."""
        level = logging.INFO
        if detail.startswith(STEP):
            if time.monotonic() < self._step_logged + LOG_S:
                level = logging.DEBUG
            else:
                self._step_logged = time.monotonic()
        self.tell("progress", round_id, level, stage=stage, detail=detail)

    def tell(self, event: str, round_id: str, level: int = logging.INFO, **more: Any) -> None:
        told = " ".join(str(each) for each in (round_id, event, *more.values()) if each)
        extra = logs.about(
            pipeline=self._name, cohort=self.cohort, round=round_id, version=more.get("version")
        )
        log.log(level, told, extra=extra)
        message = topics.RoundEvent(event, round_id, wall(), self.cohort, **more)
        topic = topics.ROUND.of(prefix=self._prefix, pipeline=self._name, round=round_id)
        self._listeners.publish(topic, topics.encode(message))
