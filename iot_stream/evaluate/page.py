"""The page of a report: one HTML file that needs nothing beside it, not even a network.

The curves are drawn by uPlot (MIT, vendored in `iot_stream/watch/static`); without JavaScript the page shows
the same as tables.
"""

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import msgspec

from iot_stream.clock import SECOND, iso
from iot_stream.evaluate.explained import why_section
from iot_stream.evaluate.markup import (
    Cell,
    chip,
    definitions,
    folded,
    heading,
    long_table,
    paragraph,
    percent,
    plot,
    section,
    size,
    table,
)
from iot_stream.evaluate.report import (
    RIVALS,
    Device,
    Figure,
    Interval,
    ReportData,
    Round,
    Series,
    Table,
    Traffic,
)

# The kinds of marks in the legend's order, and its words for them.
MARKS = {
    "segment": "segments",
    "drift": "drift",
    "released": "released",
    "rejected": "rejected",
    "swap": "device swaps",
}
# Beside these two every rival is a student or a peer, and may be the best one.
NOT_STUDENTS = {"teacher", "persistence"}
ASIDE = "teacher and persistence aside"
INTERVALS = "95 % interval of the mean over the seeds"


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
        _measures(data.measures),
        *map(_beside, data.tables),
        _recall(data.recall),
        _confusion(data.classes, data.confusion),
        _traffic(data.traffic),
        _rounds(data.rounds),
        why_section(data.why),
        _devices(data.devices),
    ]
    return Template(_static("report.html")).substitute(
        title=html.escape(data.title),
        subtitle=html.escape(data.subtitle),
        sections="\n".join(filter(None, sections)),
        facts=definitions("facts", list(data.facts.items())),
        css=_uplot("uPlot.min.css") + _static("report.css") + _static("explain.css"),
        uplot=_uplot("uPlot.iife.min.js"),
        script=_static("report.js"),
        data=_embedded(data),
    )


def _static(name: str) -> str:
    return files("iot_stream.evaluate").joinpath("static", name).read_text(encoding="utf-8")


def _uplot(name: str) -> str:
    return files("iot_stream.watch").joinpath("static", "uplot", name).read_text(encoding="utf-8")


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


def _label(rival: str) -> str:
    return RIVALS[rival][0] if rival in RIVALS else rival


def _meaning(rival: str) -> str:
    return RIVALS[rival][1] if rival in RIVALS else ""


def _figures(figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    cells = "".join(
        f"<div><dt>{html.escape(each.label)}</dt><dd>{html.escape(each.value)}</dd>"
        f"<dd class=note>{html.escape(each.note)}</dd></div>"
        for each in figures
    )
    return f"<dl class=figures>{cells}</dl>"


def _accuracy(data: ReportData) -> str:
    if not data.accuracy:
        return ""
    names = _in_order(data.accuracy)
    happened = {mark.kind for mark in data.marks}
    rivals = "".join(chip("rival", name, _label(name), _meaning(name)) for name in names)
    marks = "".join(chip("mark", kind, word) for kind, word in MARKS.items() if kind in happened)
    banded = any(series.low for series in data.accuracy.values())
    meanings = [(_label(name), _meaning(name)) for name in names]
    return section(
        "Accuracy over time",
        f"<div class='chips{' wide' if banded else ''}' data-for=accuracy>{rivals}</div>",
        f"<div class=chips>{marks}</div>" if marks else "",
        plot("accuracy", "Accuracy over time"),
        "<p class=readout id=accuracy-readout></p>",
        f"<p class=readout>Bands: {INTERVALS}.</p>" if banded else "",
        _without_script(data, names),
        folded("What the curves are", definitions("meanings", meanings)),
    )


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
        since = iso(round(low * SECOND))[:16].replace("T", " ") if data.dates else f"{low:,.0f} s"
        rows.append([since, *map(percent, means)])
    return f"<noscript>{table(['from', *map(_label, names)], rows)}</noscript>"


def _mean_between(series: Series, low: float, high: float, *, closed: bool) -> float | None:
    """Mean of the values in [low, high), or [low, high] if closed; None where there are none."""
    inside = [
        value
        for second, value in zip(series.seconds, series.values, strict=True)
        if value is not None and (low <= second < high or (closed and second == high))
    ]
    return sum(inside) / len(inside) if inside else None


def _measures(measures: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> str:
    measures = {title: rows for title, rows in measures.items() if rows}
    if not measures:
        return ""
    values = [each for rows in measures.values() for rivals in rows.values() for each in rivals.values()]
    small = f" Small: the {INTERVALS}." if any(_spread(each) for each in values) else ""
    note = paragraph(f"Bold: the best in its row, {ASIDE}.{small}")
    if len(measures) == 1:
        ((title, rows),) = measures.items()
        return section(f"{title[:1].upper()}{title[1:]} by segment", note, _by_rival("segment", rows))
    tables = (heading(title) + _by_rival("segment", rows) for title, rows in measures.items())
    return section("By segment", note, *tables)


def _recall(recall: Mapping[str, Mapping[str, float]]) -> str:
    if not recall:
        return ""
    rows = {
        name: {rival: Interval(value) for rival, value in rivals.items()} for name, rivals in recall.items()
    }
    note = f"The share of a class's windows that were told rightly. Bold: the best in its row, {ASIDE}."
    return section("Recall by class", paragraph(note), _by_rival("class", rows))


def _by_rival(what: str, rows: Mapping[str, Mapping[str, Interval]]) -> str:
    """A table with a column for each rival; the student's is tinted, the best student of a row bold."""
    names = _in_order({name for rivals in rows.values() for name in rivals})
    head = [Cell(_label(name), kind="student" if name == "student" else "") for name in names]
    lines = []
    for row, rivals in rows.items():
        # In tenths of a percent, as shown: what reads the same is equally good.
        shown = {name: round(100 * each.mean, 1) for name, each in rivals.items() if name not in NOT_STUDENTS}
        best = {name for name in shown if shown[name] == max(shown.values())} if len(shown) > 1 else set()
        first = Cell(row, kind="overall" if row == "overall" else "")
        lines.append([first, *(_value(name, rivals.get(name), name in best) for name in names)])
    return table([what, *head], lines, kind="rivals")


def _value(rival: str, interval: Interval | None, best: bool) -> Cell:
    kind = " ".join(filter(None, ["student" if rival == "student" else "", "best" if best else ""]))
    if interval is None:
        return Cell("", kind=kind)
    return Cell(percent(interval.mean), _spread(interval), kind)


def _spread(interval: Interval) -> str:
    """The interval in percent: "± 1.2", or "91.8–94.4" where the mean is not in its middle."""
    if interval.low is None or interval.high is None:
        return ""
    below, above = 100 * (interval.mean - interval.low), 100 * (interval.high - interval.mean)
    if abs(below - above) < 0.1:
        return f"±\N{NO-BREAK SPACE}{(below + above) / 2:.1f}"
    return f"{100 * interval.low:.1f}\N{EN DASH}{100 * interval.high:.1f}"


def _beside(each: Table) -> str:
    return section(each.title, paragraph(each.note), table(each.head, each.rows))


def _confusion(classes: Sequence[str], confusion: Mapping[str, Sequence[Sequence[int]]]) -> str:
    """A matrix for each rival; all but the first two are folded away."""
    if not confusion:
        return ""
    matrices = [_matrix(name, classes, confusion[name]) for name in _in_order(confusion)]
    note = "Rows: the true class. Columns: what was said. Windows, shaded by their share of the row."
    rest = matrices[2:]
    return section(
        "Confusion",
        paragraph(note),
        f"<div class=matrices>{''.join(matrices[:2])}</div>",
        folded("The other rivals", f"<div class=matrices>{''.join(rest)}</div>") if rest else "",
    )


def _matrix(rival: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    rows = []
    for truth, row in zip(classes, counts, strict=True):
        total = sum(row)
        cells = [
            Cell(
                _short(count),
                kind="none" if not count else "right" if said == truth else "wrong",
                title=f"{truth}, taken for {said}: {count:,} of {total:,} ({percent(share)})",
                shade=share,
            )
            for said, count in zip(classes, row, strict=True)
            for share in [count / (total or 1)]
        ]
        rows.append([truth, *cells])
    caption = f"<figcaption>{html.escape(_label(rival))}</figcaption>"
    return f"<figure>{caption}{table(['', *classes], rows, kind='confusion')}</figure>"


def _short(count: int) -> str:
    """At most five characters up to a million: 9999, "14.1k", "120k"."""
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 99_950 else f"{count / 1000:.0f}k"


def _traffic(traffic: Traffic | None) -> str:
    if traffic is None or not traffic.seconds:
        return ""
    up, down = size(traffic.up[-1]), size(traffic.down[-1])
    return section(
        "Bytes up and down",
        paragraph(f"In all {up} of readings went up and {down} of models came down."),
        f"<div class=chips data-for=traffic>{chip('way', 'up', 'up')}{chip('way', 'down', 'down')}</div>",
        plot("traffic", "Bytes up and down", "plot low"),
    )


def _rounds(rounds: Sequence[Round]) -> str:
    if not rounds:
        return ""
    verdicts = Counter(each.verdict for each in rounds)
    counts = [f"{verdicts[name]} {name}" for name in ("released", "rejected", "held") if verdicts[name]]
    rows = [
        [
            each.id,
            each.trigger,
            each.verdict,
            "" if each.version is None else each.version,
            each.gate,
            each.cost.replace(" ", "\N{NO-BREAK SPACE}"),
        ]
        for each in rounds
    ]
    return section(
        "Rounds",
        paragraph(f"{len(rounds)} {'round' if len(rounds) == 1 else 'rounds'}: {', '.join(counts)}."),
        long_table("rounds", ["round", "trigger", "verdict", "version", "gate", "cost"], rows),
    )


def _devices(devices: Sequence[Device]) -> str:
    if not devices:
        return ""
    rows = [[each.name, each.version, each.swaps, f"{each.readings:,}"] for each in devices]
    return section("Devices", long_table("devices", ["device", "version", "swaps", "readings"], rows))
