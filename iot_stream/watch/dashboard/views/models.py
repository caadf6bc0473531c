"""Versions of the student: where each came from, how large it is, who runs it; two of them side by side."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from iot_stream.artifact.encodings import decode
from iot_stream.clock import SECOND, wall
from iot_stream.errors import ConfigError
from iot_stream.store import Store
from iot_stream.store.inspection import VersionRow
from iot_stream.store.rollouts import DONE
from iot_stream.watch.dashboard.views.asked import Query, cohort, number, seconds
from iot_stream.watch.dashboard.views.comparing import Difference, Distance, differences, distances
from iot_stream.watch.dashboard.views.rounds import Gate

PAGE, RELEASES = 50, 1000
STABLE = "stable"


class Kind(NamedTuple):
    """An artifact of a version as a file: how its name ends, and what it is."""

    suffix: str
    media_type: str


KINDS = {
    "graph": Kind("graph.onnx", "application/octet-stream"),
    "spec": Kind("spec.json", "application/json"),
    "weights": Kind("weights.safetensors", "application/octet-stream"),
}


class Delta(msgspec.Struct, frozen=True):
    """`base`: the artifact that it is told against."""

    artifact: str = ""
    base: str = ""


class Origin(msgspec.Struct, frozen=True):
    """What a list shows of a provenance."""

    gate: Gate = Gate()
    trigger: str = ""
    rollback_of: int = 0
    delta: Delta | None = None


_ORIGINS = msgspec.json.Decoder(Origin)  # made once: threads that do so at the same time crash msgspec


class Line(msgspec.Struct):
    """A version of the list; `sizes`: artifact → bytes, of `delta` too where there is one. `devices` run it;
    `state`: of its rollout; or "stable" where the stable slot carries it, "done" where it did, "waiting" for
    its turn, or "passed over"."""

    cohort: str
    version: int
    round: str
    made: float
    encoding: str
    sizes: dict[str, int]
    devices: int
    state: str
    origin: Origin


class States(NamedTuple):
    """Of a cohort's versions: what the stable slot carried, the newest first, and where rollouts stand."""

    carried: list[int]
    rollouts: dict[int, str]

    def of(self, version: int) -> str:
        if self.carried[:1] == [version]:
            return STABLE
        if version in self.rollouts:
            return self.rollouts[version]
        if version in self.carried:
            return DONE
        return "waiting" if version > max((*self.carried, *self.rollouts), default=0) else "passed over"


class Models(msgspec.Struct):
    now: float
    versions: list[Line]
    older: bool
    cohorts: list[str]


class File(msgspec.Struct):
    """To be fetched under `path`."""

    kind: str
    name: str
    path: str
    bytes: int
    sha256: str


class Whole(msgspec.Struct):
    """One version; `provenance` as it was written, `spec` without its golden windows, `golden` their bytes;
    `tensors`: name → shape."""

    now: float
    version: Line
    provenance: msgspec.Raw
    spec: dict[str, Any]
    golden: int
    tensors: dict[str, tuple[int, ...]]
    parameters: int
    files: list[File]


class Pair(msgspec.Struct):
    """Two versions. `spec`: where their contracts differ; `weights`: how far apart they are, by tensor, None
    where they have not the same ones; `graph`: whether it is the same."""

    now: float
    versions: tuple[Line, Line]
    provenance: tuple[msgspec.Raw, msgspec.Raw]
    spec: list[Difference]
    graph: bool
    weights: list[Distance] | None
    apart: Distance | None


class View:
    """Of one pipeline."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name

    def view(self, query: Query) -> Models | Whole | Pair:
        """`version` of a `cohort`; with `beside`, another one, both; else the list. Raises ConfigError."""
        if "version" not in query:
            return self._list(query)
        row = self._row(cohort(query), number(query, "version", 0))
        if "beside" not in query:
            return self._one(row)
        return self._pair(row, self._row(query.get("of", cohort(query)), number(query, "beside", 0)))

    def file(self, kind: str, of_cohort: str, version: int) -> tuple[str, str, bytes]:
        """Name, media type and content of a version's artifact; raises ConfigError."""
        if kind not in KINDS:
            raise ConfigError(f"a version has no file {kind!r}; there are {', '.join(KINDS)}")
        row = self._row(of_cohort, version)
        content = self._store.registry.artifact(getattr(row, kind))
        return self._file_name(row, kind), KINDS[kind].media_type, content

    def _row(self, of_cohort: str, version: float) -> VersionRow:
        row = self._store.inspection.version(self._name, of_cohort, int(version))
        if row is None:
            of = self._name if of_cohort == "all" else f"cohort {of_cohort} of {self._name}"
            raise ConfigError(f"{of} has no version {version:g}; the list of models shows all")
        return row

    def _list(self, query: Query) -> Models:
        rows = self._store.inspection.versions(
            self._name,
            PAGE + 1,
            before=int(number(query, "before", 2**62 / SECOND) * SECOND),
            cohort=query.get("cohort") or None,
        )
        return Models(
            seconds(wall()),
            self._lines(rows[:PAGE]),
            len(rows) > PAGE,
            sorted(self._store.registry.cohorts(self._name)),
        )

    def _lines(self, rows: Iterable[VersionRow]) -> list[Line]:
        rows = list(rows)
        origins = [_ORIGINS.decode(row.provenance) for row in rows]
        digests = [_digests(row, origin) for row, origin in zip(rows, origins, strict=True)]
        sizes = self._store.inspection.sizes(chain.from_iterable(each.values() for each in digests))
        running = self._store.inspection.running(self._name)
        states = self._states({row.cohort for row in rows})
        return [
            Line(
                row.cohort,
                row.version,
                row.round,
                seconds(row.created),
                row.encoding,
                {kind: sizes.get(digest, 0) for kind, digest in theirs.items()},
                running.get((row.cohort, row.version), 0),
                states[row.cohort].of(row.version),
                origin,
            )
            for row, origin, theirs in zip(rows, origins, digests, strict=True)
        ]

    def _states(self, cohorts: Iterable[str]) -> dict[str, "States"]:
        """Of the versions of each cohort."""
        found = {}
        for each in cohorts:
            carried = self._store.registry.released(self._name, each, STABLE, RELEASES)
            states = {one.version: one.state for one in self._store.rollouts.of(self._name, each)}
            found[each] = States(carried, states)
        return found

    def _one(self, row: VersionRow) -> Whole:
        (line,) = self._lines([row])
        spec, golden = self._spec(row)
        tensors = decode(row.encoding, self._store.registry.artifact(row.weights)).tensors
        return Whole(
            seconds(wall()),
            line,
            msgspec.Raw(row.provenance.encode()),
            spec,
            golden,
            {name: tuple(values.shape) for name, values in tensors.items()},
            sum(values.size for values in tensors.values()),
            [
                File(kind, self._file_name(row, kind), _path(row, kind), line.sizes[kind], digest)
                for kind, digest in _digests(row, Origin()).items()
            ],
        )

    def _pair(self, one: VersionRow, other: VersionRow) -> Pair:
        first, second = self._lines([one, other])
        tensors = [
            decode(row.encoding, self._store.registry.artifact(row.weights)).tensors for row in (one, other)
        ]
        told = distances(*tensors)
        specs = [self._spec(row)[0] for row in (one, other)]
        return Pair(
            seconds(wall()),
            (first, second),
            (msgspec.Raw(one.provenance.encode()), msgspec.Raw(other.provenance.encode())),
            differences(*specs),
            one.graph == other.graph,
            told[1:] if told else None,
            told[0] if told else None,
        )

    def _spec(self, row: VersionRow) -> tuple[dict[str, Any], int]:
        """Without golden windows, and their bytes."""
        spec: dict[str, Any] = msgspec.json.decode(self._store.registry.artifact(row.spec))
        return spec, len(spec.pop("golden", ""))

    def _file_name(self, row: VersionRow, kind: str) -> str:
        return f"{self._name}-{row.cohort}-{row.version}-{KINDS[kind].suffix}"


def _path(row: VersionRow, kind: str) -> str:
    return f"models/{quote(row.cohort, safe='')}/{row.version}/{kind}"


def _digests(row: VersionRow, origin: Origin) -> dict[str, str]:
    digests = {kind: str(getattr(row, kind)) for kind in KINDS}
    return digests | ({"delta": origin.delta.artifact} if origin.delta else {})
