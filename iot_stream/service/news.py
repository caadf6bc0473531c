"""What is new to a cohort's next round."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from iot_stream.distill.material import Material
from iot_stream.readings import Times

LATEST = 2**63 - 1


class News(NamedTuple):
    """`last`: when the round before started (ns on the pipeline's clock), 0 where there was none; `known`:
    device → end of the newest of its windows that a round, or the first version, knew."""

    last: int
    known: Mapping[str, int] = {}

    def since(self, material: Material) -> Times:
        """For each window up to when its device was known: what ended before the last round and was spoken of
        after it, as by a teacher whose words come late, is new all the same."""
        bound = self.last or LATEST
        otherwise = min(bound, max(self.known.values(), default=self.last))
        names, place = np.unique(material.devices, return_inverse=True)
        ends = [min(bound, self.known.get(name, otherwise)) for name in names.tolist()]
        return np.array(ends, np.int64)[place]

    def after(self, material: Material, last: int) -> "News":
        """When `material` has been looked at by what started at `last`."""
        names, place = np.unique(material.devices, return_inverse=True)
        newest = np.zeros(len(names), np.int64)
        np.maximum.at(newest, place, material.ends)
        return News(last, {**self.known, **dict(zip(names.tolist(), newest.tolist(), strict=True))})
