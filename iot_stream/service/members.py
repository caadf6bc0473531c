"""Who belongs to which cohort, live: as the configuration says; kept in the store, from where devices are
told."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Cohorts
from iot_stream.config.cohorts import ALL, DEVICE, DRIFT
from iot_stream.distill import clusters
from iot_stream.distill.material import Material
from iot_stream.store import Store


class Members:
    def __init__(self, store: Store, name: str, settings: Cohorts) -> None:
        self._store, self._name, self._settings = store, name, settings
        self._cohorts = store.cohorts.members(name)

    def of(self, device: str) -> str:
        return self._cohorts.get(device, ALL)

    def rows(self, devices: NDArray[np.str_], cohort: str) -> NDArray[np.bool_]:
        """Of windows (n,), those of the cohort's devices."""
        names, places = np.unique(devices, return_inverse=True)
        mine = np.array([self.of(name) == cohort for name in names.tolist()], bool)
        return np.asarray(mine[places] if len(names) else np.zeros(0, bool))

    def news(self, devices: Iterable[str]) -> dict[str, str]:
        """Of devices that have windows, those that belong elsewhere than they did, and where."""
        by = self._settings.by
        if by == DRIFT:
            return {}
        tags = self._store.cohorts.tags(self._name, by) if by not in (ALL, DEVICE) else {}
        wanted = {device: device if by == DEVICE else tags.get(device) or ALL for device in devices}
        return {device: cohort for device, cohort in wanted.items() if cohort != self.of(device)}

    def regrouped(self, material: Material, bootstrap: Material) -> dict[str, str]:
        """The same by what their windows have become like; nothing where that does not count."""
        if self._settings.by != DRIFT:
            return {}
        return clusters.moves(material, bootstrap, self._settings, self._cohorts)

    def assign(self, cohorts: Mapping[str, str]) -> None:
        with self._store.write() as tx:
            self._store.cohorts.assign(tx, self._name, cohorts, f"by {self._settings.by}")
        self._cohorts |= cohorts
