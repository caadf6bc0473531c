"""Devices that are not learnt from, live: who looks broken is held in the store until a person decides."""

import logging

from iot_stream import logs
from iot_stream.config import Pipeline
from iot_stream.distill import outliers
from iot_stream.distill.material import Material
from iot_stream.store import Store

log = logging.getLogger(__name__)


class Holding:
    def __init__(self, store: Store, name: str, pipeline: Pipeline) -> None:
        self._scope, self._name, self._settings = store.scope, name, pipeline.hold
        self._inputs = pipeline.cut(pipeline.student).inputs

    @property
    def paused(self) -> bool:
        """Whether nothing at all is learnt."""
        return "" in self.devices

    @property
    def devices(self) -> set[str]:
        """Those that are not learnt from."""
        return {held.device for held in self._scope.holds(self._name)}

    def look(self, material: Material, bootstrap: Material) -> outliers.Found:
        """Holds who has left the cohort; `material` has nothing of those that are held already."""
        accepted = self._scope.accepted(self._name)
        found = outliers.find(material, bootstrap, self._inputs, self._settings, accepted)
        for device, since, why in found.leavers:
            self._scope.hold("distiller", self._name, device, since, why)
            resume = f"`iot-stream resume {self._name}/{device}` if that is fine"
            extra = logs.about(pipeline=self._name, device=device)
            log.warning("%s: %s is not learnt from: %s; %s", self._name, device, why, resume, extra=extra)
        return found
