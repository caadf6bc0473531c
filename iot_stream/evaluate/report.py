"""The report of a run: one HTML file that needs nothing beside it, not even a network.

`ReportData` is what a run has to say; `write` makes the page from it. The curves are drawn by uPlot
(MIT, vendored in `static/uplot/`); without JavaScript the page shows the same as tables.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

import msgspec

from iot_stream.clock import SECOND, iso

# What each rival is, in the words of a reader who has not seen the design. The order is the legend's.
RIVALS = {
    "student": ("student", "the small model on the device, updated by the service"),
    "static": ("static", "the same small model as first deployed, never updated"),
    "static_all": ("static-all", "the same small model, taught once on everything the teacher ever saw"),
    "labels_only": ("labels only", "the same updates from the late labels alone, without a teacher"),
    "control": ("control", "the same extra training steps on the first data alone"),
    "persistence": ("persistence", "the last label or word of the teacher, repeated"),
    "teacher": ("teacher", "the large model in the cloud: the ceiling"),
}


class Figure(msgspec.Struct, frozen=True):
    """A key figure of the run, such as ("recovered after", "11.2 s", "from the first drifted reading")."""

    label: str
    value: str
    note: str = ""


class Series(msgspec.Struct, frozen=True):
    """A curve: `values[i]` at `seconds[i]`, which increase; None leaves a gap."""

    seconds: Sequence[float]
    values: Sequence[float | None]


class Mark(msgspec.Struct, frozen=True):
    """Something that happened at a moment: a drift begins, a round ends, a device swaps its model."""

    seconds: float
    kind: Literal["drift", "released", "rejected", "swap"]
    label: str


class Traffic(msgspec.Struct, frozen=True):
    """Bytes so far, all devices together: readings up, models down."""

    seconds: Sequence[float]
    up: Sequence[int]
    down: Sequence[int]


class Round(msgspec.Struct, frozen=True):
    """One distillation round; `version` is None if it released nothing, `gate` is the verdict in words."""

    id: str
    trigger: str
    verdict: Literal["released", "rejected", "held"]
    version: int | None
    gate: str
    cost: str


class Device(msgspec.Struct, frozen=True):
    """A device at the end of the run."""

    name: str
    version: int
    swaps: int
    readings: int


class ReportData(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report shows. Parts left empty are left out of the page.

    Attributes:
        title, subtitle: the headline, and one sentence that says what was run.
        dates: whether seconds are those since 1970 (shown as dates, UTC) or since the run began.
        figures: the key figures, most important first.
        accuracy: a rival's name (see `RIVALS`) to its accuracy over time, fractions 0 to 1.
        segments: a segment's name (a day, a load) to the accuracy of each rival in it.
        facts: what is needed to run it again: command, seed, broker, versions.
    """

    title: str
    subtitle: str
    dates: bool = False
    figures: Sequence[Figure] = ()
    accuracy: Mapping[str, Series] = {}
    marks: Sequence[Mark] = ()
    traffic: Traffic | None = None
    segments: Mapping[str, Mapping[str, float]] = {}
    rounds: Sequence[Round] = ()
    devices: Sequence[Device] = ()
    facts: Mapping[str, str] = {}


def write(path: Path, data: ReportData) -> None:
    """Write the page to `path`, whole or not at all; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(render(data), encoding="utf-8")
    part.replace(path)


def render(data: ReportData) -> str:
    """The page as text."""
    sections = [
        _figures(data.figures),
        _accuracy(data),
        _segments(data.segments),
        _traffic(data.traffic),
        _rounds(data.rounds),
        _devices(data.devices),
    ]
    return Template(_static("report.html")).substitute(
        title=html.escape(data.title),
        subtitle=html.escape(data.subtitle),
        sections="\n".join(filter(None, sections)),
        facts=_facts(data.facts),
        css=_static("uplot/uPlot.min.css") + _static("report.css"),
        uplot=_static("uplot/uPlot.iife.min.js"),
        script=_static("report.js"),
        data=_embedded(data),
    )


def _static(name: str) -> str:
    return files("iot_stream.evaluate").joinpath("static", name).read_text(encoding="utf-8")


def _embedded(data: ReportData) -> str:
    """What the curves need, as JSON that cannot end the script element that carries it."""
    plotted = {
        "dates": data.dates,
        "accuracy": {name: data.accuracy[name] for name in _in_order(data.accuracy)},
        "marks": sorted(data.marks, key=lambda mark: mark.seconds),
        "traffic": data.traffic,
    }
    return msgspec.json.encode(plotted).decode().replace("<", "\\u003c")


def _in_order(names: Iterable[str]) -> list[str]:
    """Known rivals first, as `RIVALS` has them; then others by name."""
    known = list(RIVALS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _figures(figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    cells = "".join(
        f"<div><dt>{html.escape(each.label)}</dt><dd>{html.escape(each.value)}</dd>"
        f"<dd class=note>{html.escape(each.note)}</dd></div>"
        for each in figures
    )
    return f"<dl class=figures>{cells}</dl>"


# The kinds of marks in the legend's order, and its words for them.
_MARKS = {"drift": "drift", "released": "released", "rejected": "rejected", "swap": "device swaps"}


def _accuracy(data: ReportData) -> str:
    if not data.accuracy:
        return ""
    names = _in_order(data.accuracy)
    happened = {mark.kind for mark in data.marks}
    chips = [_chip("rival", name, _label(name), _meaning(name)) for name in names]
    chips += [_chip("mark", kind, word) for kind, word in _MARKS.items() if kind in happened]
    meanings = "".join(
        f"<dt>{html.escape(_label(name))}</dt><dd>{html.escape(_meaning(name))}</dd>" for name in names
    )
    return _section(
        "Accuracy over time",
        f"<div class=chips data-for=accuracy>{''.join(chips)}</div><div class=plot id=accuracy></div>"
        f"<p class=readout id=accuracy-readout></p>{_without_script(data, names)}"
        f"<details><summary>What the curves are</summary><dl class=meanings>{meanings}</dl></details>",
    )


def _label(rival: str) -> str:
    return RIVALS[rival][0] if rival in RIVALS else rival


def _meaning(rival: str) -> str:
    return RIVALS[rival][1] if rival in RIVALS else ""


def _without_script(data: ReportData, names: Sequence[str], spans: int = 8) -> str:
    """The curves as a table of means over equal spans of time, for readers without JavaScript."""
    times = [second for series in data.accuracy.values() for second in series.seconds]
    if not times:
        return ""
    begin, width = min(times), (max(times) - min(times)) / spans or 1.0
    rows = []
    for number in range(spans):
        low, high = begin + number * width, begin + (number + 1) * width
        last = number == spans - 1
        means = [_mean_between(data.accuracy[name], low, high, closed=last) for name in names]
        since = iso(round(low * SECOND))[:16] if data.dates else f"{low:,.0f} s"
        rows.append([since, *map(_percent, means)])
    return f"<noscript>{_table(['from', *map(_label, names)], rows)}</noscript>"


def _mean_between(series: Series, low: float, high: float, *, closed: bool) -> float | None:
    """Mean of the values in [low, high), or [low, high] if closed; None where there are none."""
    inside = [
        value
        for second, value in zip(series.seconds, series.values, strict=True)
        if value is not None and (low <= second < high or (closed and second == high))
    ]
    return sum(inside) / len(inside) if inside else None


def _segments(segments: Mapping[str, Mapping[str, float]]) -> str:
    if not segments:
        return ""
    names = _in_order({name for rivals in segments.values() for name in rivals})
    rows = [
        [segment, *(_percent(rivals.get(name)) for name in names)] for segment, rivals in segments.items()
    ]
    return _section("Accuracy by segment", _table(["segment", *map(_label, names)], rows))


def _traffic(traffic: Traffic | None) -> str:
    if traffic is None or not traffic.seconds:
        return ""
    up, down = _bytes(traffic.up[-1]), _bytes(traffic.down[-1])
    return _section(
        "Bytes up and down",
        f"<p>In all {up} of readings went up and {down} of models came down.</p>"
        f"<div class=chips data-for=traffic>{_chip('way', 'up', 'up')}{_chip('way', 'down', 'down')}</div>"
        "<div class='plot low' id=traffic></div>",
    )


def _rounds(rounds: Sequence[Round]) -> str:
    if not rounds:
        return ""
    released = sum(each.verdict == "released" for each in rounds)
    rows = [
        [
            each.id,
            each.trigger,
            each.verdict,
            "" if each.version is None else each.version,
            each.gate,
            each.cost,
        ]
        for each in rounds
    ]
    table = _table(["round", "trigger", "verdict", "version", "gate", "cost"], rows)
    return _section("Rounds", f"<p>{len(rounds)} rounds, {released} released.</p>{table}")


def _devices(devices: Sequence[Device]) -> str:
    if not devices:
        return ""
    rows = [[each.name, each.version, each.swaps, f"{each.readings:,}"] for each in devices]
    return _section("Devices", _table(["device", "version", "swaps", "readings"], rows))


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items()
    )


def _chip(key: str, value: str, word: str, title: str = "") -> str:
    """A button of a legend: report.js finds it by `data-{key}` and writes the value at the cursor into it."""
    return (
        f'<button type=button class=chip data-{key}="{html.escape(value)}" aria-pressed=true '
        f'title="{html.escape(title)}"><i></i>{html.escape(word)} <output></output></button>'
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table whose cells are escaped; it scrolls sideways in its own box on a narrow screen."""
    top = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class=scroll tabindex=0>{table}</div>"


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%"


def _bytes(count: float) -> str:
    """1234567 → "1.2 MB" (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f}\N{NO-BREAK SPACE}{unit}"
        count /= 1000
    return f"{count:,.1f} TB"
