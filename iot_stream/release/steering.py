"""Rollouts: a version goes from stage to stage while its devices do well, and is taken back when they do not.

The canary slot carries it for the devices of the stage; the stable slot gets it in the end. Called off, its
bundle is published for nobody, and its devices fall back to the stable slot's version.
"""

import logging
from collections.abc import Callable

from iot_stream import logs
from iot_stream.artifact import trust
from iot_stream.artifact.stages import Audience
from iot_stream.clock import wall
from iot_stream.config import Pipeline
from iot_stream.errors import ModelError
from iot_stream.field import evidence, health, stages
from iot_stream.field.health import Finding
from iot_stream.field.stages import Split
from iot_stream.release.shelf import Shelf
from iot_stream.store import Store
from iot_stream.store.registry import Version
from iot_stream.store.rollouts import ABORTED, DONE, PAUSED, RUNNING, SUPERSEDED, Rollout
from iot_stream.units import Percent

log = logging.getLogger(__name__)

BY_ITSELF = "rollout controller"

Told = Callable[[Version, int, str], None]
"""Of a version put on a shelf: its bundle's bytes, and for whom."""


class Steering:
    """Of all rollouts of one pipeline. `told` when a version has gone out to more devices."""

    def __init__(self, store: Store, name: str, pipeline: Pipeline, shelf: Shelf, told: Told) -> None:
        self._store, self._name, self._settings, self._shelf = store, name, pipeline.release, shelf
        self._told = told
        self._said: dict[str, str] = {}

    def bring(self, version: Version) -> None:
        """A version that is newer than what devices have: to all at once, or to the first stage."""
        if "rollback_of" in version.provenance:
            self._bring_back(version)
            return
        carried = self._store.registry.release(self._name, version.cohort, trust.STABLE)
        if carried is None or len(self._settings.stages) == 1:
            self._to_all(version)
            return
        self._enter(Rollout(version.cohort, version.version, RUNNING, 0, 0, 0), BY_ITSELF, "a new version")

    def _bring_back(self, version: Version) -> None:
        """What was rolled back to: to all, and at once. What is on its way is over before, so that a crash
        does not leave it going on above this one."""
        made = version.provenance
        who = str(made.get("rollback_by", BY_ITSELF))
        why = ": ".join(
            filter(None, [f"back to version {made['rollback_of']}", made.get("rollback_because")])
        )
        rollout = self._store.rollouts.last(self._name, version.cohort)
        if rollout is not None and rollout.under_way:
            asked = "rollback_by" in made  # else its number was taken
            rollout = rollout._replace(state=ABORTED if asked else SUPERSEDED)
            self._decide(rollout, who, "called off" if asked else "superseded", why)
        self._to_all(version)
        if rollout is not None and not self.published(rollout):
            self.publish(rollout)
        with self._store.write() as tx:
            self._store.rollouts.decide(
                tx, self._name, version.cohort, version.version, who, "to all devices", why
            )

    def steer(self, rollout: Rollout) -> None:
        """What is to be done by itself, if anything."""
        if rollout.state != RUNNING:
            return
        cohort, split = rollout.cohort, self.split(rollout)
        if not split.stage:
            self._next(rollout, BY_ITSELF, f"no device is in the stage of {self._percent(rollout)}")
            return
        finding = self.finding(rollout, split)
        left = rollout.since + self._settings.soak - wall()
        if finding.outcome == "bad":
            self.abort(rollout, BY_ITSELF, finding.why)
        elif finding.outcome == "good" and left <= 0:
            self._next(rollout, BY_ITSELF, finding.why)
        elif finding.why != self._said.get(cohort):
            self._said[cohort] = finding.why
            log.info(
                "%s/%s: version %d: %s", self._name, cohort, rollout.version, finding.why,
                extra=logs.about(pipeline=self._name, cohort=cohort, version=rollout.version),
            )  # fmt: skip

    def finding(self, rollout: Rollout, split: Split) -> Finding:
        version = self._version(rollout)
        known = evidence.gather(self._store, self._name, version, rollout, split.stage, split.control)
        return health.judge(known, self._settings.health)

    def split(self, rollout: Rollout) -> Split:
        audience = self._audience(rollout)
        return stages.divided(self._store, self._name, rollout.cohort, rollout.version, audience)

    # --- what a person may ask for -----------------------------------------------------------

    def carry_out(self, action: str, cohort: str, who: str, why: str) -> str:
        """`advance`, `pause`, `resume` or `abort`; says what came of it. Raises ModelError."""
        rollout = self._store.rollouts.last(self._name, cohort)
        if rollout is None or not rollout.under_way:
            raise ModelError(
                f"no rollout of {self._name}/{cohort} is under way; `iot-stream rollout` lists them"
            )
        if action == "advance":
            return self._next(rollout, who, why)
        if action == "abort":
            return self.abort(rollout, who, why)
        state = {"pause": PAUSED, "resume": RUNNING}[action]
        if state == rollout.state:
            raise ModelError(f"the rollout of {self._name}/{cohort} is {state} already")
        since = wall() if state == RUNNING else rollout.since
        self._decide(rollout._replace(state=state, since=since), who, action, why)
        return f"version {rollout.version} is {state} at {self._percent(rollout)}"

    def abort(self, rollout: Rollout, who: str, why: str) -> str:
        self._decide(rollout._replace(state=ABORTED), who, "called off", why)
        self._shelf.put(self._version(rollout), trust.CANARY, Audience(0))
        return f"version {rollout.version} is called off; its devices go back to the stable version"

    # --- how ---------------------------------------------------------------------------------

    def supersede(self, cohort: str, why: str) -> None:
        """Its version cannot be published any more; its weights go out under another number."""
        rollout = self._store.rollouts.last(self._name, cohort)
        if rollout is not None and rollout.under_way:
            self._decide(rollout._replace(state=SUPERSEDED), BY_ITSELF, "superseded", why)

    def _next(self, rollout: Rollout, who: str, why: str) -> str:
        following = rollout._replace(stage=rollout.stage + 1, state=RUNNING)
        if self._share(following) < 100:
            return self._enter(following, who, why)
        version = self._version(rollout)
        self._to_all(version)
        self._shelf.put(version, trust.CANARY, Audience(0))
        self._decide(following._replace(state=DONE), who, "to all devices", why)
        return f"version {rollout.version} goes to all devices"

    def _enter(self, rollout: Rollout, who: str, why: str) -> str:
        """A stage that is not the last: first the decision, so that a crash leaves a stage that is published
        again, and none that nobody knows of."""
        rollout = rollout._replace(since=wall(), stream_since=self._store.journal.now(self._name))
        self._decide(rollout, who, f"to {self._percent(rollout)}", why)
        self.publish(rollout)
        return f"version {rollout.version} goes to {self._percent(rollout)} of the devices"

    def publish(self, rollout: Rollout) -> None:
        """On the canary's shelf, for those of the stage; for nobody when it is over."""
        version = self._version(rollout)
        size = self._shelf.put(version, trust.CANARY, self._audience(rollout))
        if rollout.under_way:
            self._told(version, size, f"to {self._percent(rollout)}")

    def published(self, rollout: Rollout) -> bool:
        """Whether the canary slot carries the stage that the rollout is in."""
        if rollout.state == SUPERSEDED:
            return True
        release = self._store.registry.release(self._name, rollout.cohort, trust.CANARY)
        carried = self._shelf.audience(self._name, rollout.cohort, trust.CANARY)
        return release is not None and release[0] == rollout.version and carried == self._audience(rollout)

    def _to_all(self, version: Version) -> None:
        size = self._shelf.put(version, trust.STABLE)
        self._shelf.clear_superseded(self._name)
        self._told(version, size, "to all")

    def _decide(self, rollout: Rollout, who: str, what: str, why: str) -> None:
        with self._store.write() as tx:
            self._store.rollouts.save(tx, self._name, rollout, who, what, why)
        name, cohort, version = self._name, rollout.cohort, rollout.version
        extra = logs.about(pipeline=name, cohort=cohort, version=version)
        log.info("%s/%s: version %d %s by %s: %s", name, cohort, version, what, who, why, extra=extra)

    def _audience(self, rollout: Rollout) -> Audience:
        return stages.audience(self._settings, rollout.stage) if rollout.under_way else Audience(0)

    def _share(self, rollout: Rollout) -> Percent:
        return stages.share(self._settings, rollout.stage)

    def _percent(self, rollout: Rollout) -> str:
        return str(self._share(rollout))

    def _version(self, rollout: Rollout) -> Version:
        version = self._store.registry.version(self._name, rollout.cohort, rollout.version)
        if version is None:
            raise ModelError(
                f"the registry has no version {rollout.version} of {self._name}/{rollout.cohort}"
            )
        return version
