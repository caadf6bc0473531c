"""Cohorts by drift: devices whose newest windows have become alike share a student.

Two devices are as far from each other as their windows of the same class are, by the teacher's word, so that
one that happens to be at rest is not taken for one that has changed: medians of the windows' traits, in
spreads of the bootstrap, root mean square over traits and classes. Devices are grouped from the bottom up by
average distance (UPGMA: Sokal & Michener, 1958) as long as groups are nearer to each other than `apart`, and
until there are no more than `most`. So a fleet that stays together stays one cohort.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Cohorts
from iot_stream.config.cohorts import ALL
from iot_stream.distill import traits
from iot_stream.distill.material import Material
from iot_stream.distill.traits import Scale, Traits

KNOWN = 1000
"""So many windows of the bootstrap say how widely traits are spread, evenly over time."""

FEWEST = 4
"""Of fewer windows nobody says what a device is like in a class."""

SLACK = 0.8
"""Cohorts that are there stay apart until they are nearer than this share of `apart`: none flickers."""


def moves(
    stream: Material, bootstrap: Material, settings: Cohorts, members: Mapping[str, str]
) -> dict[str, str]:
    """Device → cohort, of those whose cohort is to be another; pure.

    `members`: where they are now, by default in `all`. A group keeps the name that most of its devices have;
    one that splits off is called after the first of its devices. Who has few windows stays where it is.
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # takes long to import, and few cohorts move
    from scipy.spatial.distance import squareform

    names, places = _devices(stream, bootstrap, settings.windows)
    if len(names) < 2:
        return {}
    before = [members.get(name, ALL) for name in names]
    apart = settings.apart * (SLACK if len(set(before)) > 1 else 1.0)
    far = _distances(places)
    unknown = np.isnan(far)  # no class in common: they stay together, or apart
    together = np.equal.outer(np.array(before), np.array(before))
    far[unknown] = np.where(together, 0.0, 2 * apart)[unknown]
    tree = linkage(squareform(far, checks=False), method="average")
    groups = fcluster(tree, apart, criterion="distance")
    if groups.max() > settings.most:
        groups = fcluster(tree, settings.most, criterion="maxclust")
    wanted = _named(names, before, groups)
    return {name: new for name, old, new in zip(names, before, wanted, strict=True) if new != old}


def _devices(stream: Material, bootstrap: Material, count: int) -> tuple[list[str], Traits]:
    """Names, and places (devices, classes, traits), NaN for a class of which there are too few windows."""
    evenly = np.linspace(0, len(bootstrap) - 1, min(len(bootstrap), KNOWN), dtype=int)
    known = traits.traits(bootstrap.x[evenly])
    scale = Scale.of(known)
    classes, said = stream.logits.shape[1], stream.said
    names, places = [], []
    for name in np.unique(stream.devices).tolist():
        rows = np.flatnonzero(stream.devices == name)
        if len(rows) < count:
            continue
        newest = rows[np.argsort(stream.ends[rows], kind="stable")][-count:]
        place = np.full((classes, known.shape[1]), np.nan)
        for k in range(classes):
            mine = newest[said[newest] == k]
            if len(mine) >= FEWEST:
                place[k] = np.median(scale.measure(traits.traits(stream.x[mine])), axis=0)
        names.append(name)
        places.append(place)
    return names, np.array(places)


def _distances(places: Traits) -> NDArray[np.float64]:
    """(devices, devices); NaN where two have no class in common."""
    squares = np.mean((places[:, None] - places[None, :]) ** 2, axis=3)
    common = np.isfinite(squares)
    sums = np.where(common, squares, 0.0).sum(axis=2)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(sums / common.sum(axis=2)))


def _named(names: list[str], before: list[str], groups: NDArray[np.int32]) -> list[str]:
    """The largest group chooses first."""
    taken: set[str] = set()
    called: dict[int, str] = {}
    for group, _ in sorted(Counter(groups.tolist()).items(), key=lambda each: (-each[1], each[0])):
        own = [i for i, other in enumerate(groups.tolist()) if other == group]
        free = [name for name, _ in Counter(before[i] for i in own).most_common() if name not in taken]
        called[group] = free[0] if free else _after(names[own[0]], {*taken, *before})
        taken.add(called[group])
    return [called[group] for group in groups.tolist()]


def _after(device: str, taken: set[str]) -> str:
    name, number = f"like-{device}", 1
    while name in taken:
        number += 1
        name = f"like-{device}-{number}"
    return name
