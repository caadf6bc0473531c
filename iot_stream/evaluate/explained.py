"""The section "Why it changed" of a report: rounds side by side, then one by one, in words and plots."""

import html
from collections.abc import Mapping, Sequence

import msgspec

from iot_stream.distill.explain import words
from iot_stream.distill.explain.why import Disagreement, Distance, Drift, Example, Why
from iot_stream.evaluate import drawings
from iot_stream.evaluate.markup import Cell, folded, heading, paragraph, section, table

TITLES = {
    "decision": "What drives the decision",
    "moved": "Which classes moved",
    "disagreement": "Where teacher and student disagree",
    "drift": "What drifted",
    "learnt": "What was learnt from",
}
TOLD = 12
"""Rounds that are told one by one: more would push all that follows off the reader's screen."""

SIDE_BY_SIDE = 3  # rounds that make a development
ROWS = 12
DISTANCES = (
    "In standard deviations of the bootstrap: how far recent windows are from it, how far its stretches are "
    "at most, how far recent windows are from those before the last round. Red: drifted."
)
SHARES = "Shares of the decision; the thin bar is the running student's."
FULL = 3.0  # standard deviations of a field that is full


class Explained(msgspec.Struct, frozen=True):
    """A round to be explained; `excluded`: windows that it was not to learn from."""

    name: str
    outcome: str
    why: Why
    excluded: int = 0


def why_section(rounds: Sequence[Explained]) -> str:
    """Empty where there is no round to explain."""
    if not rounds:
        return ""
    chosen = set(sorted(range(len(rounds)), key=lambda i: (-_changed(rounds[i].why), i))[:TOLD])
    told = [each for number, each in enumerate(rounds) if number in chosen]
    note = (
        f"The {len(told)} of {len(rounds)} rounds in which most windows changed class."
        if len(told) < len(rounds)
        else ""
    )
    most = max(told, key=lambda each: _changed(each.why))
    one_by_one = "".join(
        body(each)
        if len(rounds) == 1
        else folded(_summary(each), body(each), opened=each is most and _changed(most.why) > 0)
        for each in told
    )
    return section("Why it changed", *_side_by_side(rounds), paragraph(note), one_by_one)


def body(each: Explained) -> str:
    """One round, part by part."""
    why = each.why
    drawn = {
        "decision": _shares(why),
        "moved": _moved(why),
        "disagreement": _examples(why.disagreement),
        "drift": _distances(why.drift),
        "learnt": "",
    }
    parts = []
    for name, title in TITLES.items():
        sentences = [*why.words.get(name, [])]
        if name == "learnt" and each.excluded:
            sentences.append(words.excluded(each.excluded))
        parts.append(f"<div>{heading(title)}{paragraph(_unbroken(' '.join(sentences)))}{drawn[name]}</div>")
    return f"<div class=why>{''.join(parts)}</div>"


def _small(note: str) -> str:
    return f"<p class=small>{html.escape(note)}</p>"


def _unbroken(text: str) -> str:
    """No line ends between a number and its percent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _changed(why: Why) -> int:
    return why.moved.changed if why.moved else 0


def _summary(each: Explained) -> str:
    moved = each.why.moved
    changed = (
        f"{moved.changed:,} of {moved.windows:,} windows changed class" if moved else "too little to judge by"
    )
    return f"{each.name}, {each.outcome}: {changed}"


def _side_by_side(rounds: Sequence[Explained]) -> list[str]:
    """What drove the decision, and what had drifted, round by round."""
    if len(rounds) < SIDE_BY_SIDE:
        return []
    columns = [each.name for each in rounds]
    shares = [each.why.decision.channels if each.why.decision else {} for each in rounds]
    far = [each.why.drift.channels if each.why.drift else {} for each in rounds]
    decisions = {
        name: [each[name][1] if name in each else None for each in shares] for name in _names(shares)
    }
    drifts = {name: [_deviations(each.get(name)) for each in far] for name in _names(far)}
    largest = max((value for values in decisions.values() for value in values if value), default=1.0)
    return [
        drawings.strip(
            f"What the new student's decision rests on, round by round: darkest at {words.percent(largest)}",
            columns,
            _largest(decisions),
            largest,
            "of the decision",
        ),
        drawings.strip(
            f"How far inputs are from the bootstrap, round by round: darkest at {FULL:.0f} deviations",
            columns,
            _largest(drifts),
            FULL,
            "standard deviations",
        ),
    ]


def _deviations(each: Distance | None) -> float | None:
    """None also for what has its own unit."""
    return None if each is None or each.constant else each.distance


def _largest(rows: Mapping[str, Sequence[float | None]]) -> dict[str, Sequence[float | None]]:
    ordered = sorted(rows, key=lambda name: -sum(value or 0 for value in rows[name]))
    return {name: rows[name] for name in ordered[:ROWS]}


def _names(rounds: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for each in rounds for name in each))


def _shares(why: Why) -> str:
    """Bars of each input's share before and after; then bands, where there are any."""
    found = why.decision
    if found is None:
        return ""
    rows = [
        _bar_row(name, pair, found.meanings.get(name, ""))
        for name, pair in sorted(found.channels.items(), key=lambda item: -item[1][1])
    ]
    if max(found.others) >= 0.005:
        rows.append(_bar_row("all others", found.others, ""))
    shown = table(["input", "running", "new", ""], rows, kind="bars") + _small(SHARES)
    if found.bands:
        bands = [_bar_row(name, pair, "") for name, pair in found.bands.items()]
        shown += table(["frequency", "running", "new", ""], bands, kind="bars")
        cells = [_bar_row(f"{name}, {band}", (was, now), "") for name, band, was, now in found.cells]
        shown += folded("Inputs by frequency", table(["input", "running", "new", ""], cells, kind="bars"))
    return shown


def _bar_row(name: str, pair: tuple[float, float], meaning: str) -> list[object]:
    was, now = pair
    bar = Cell("", kind="bar", title=f"{words.percent(was)} → {words.percent(now)}", shade=now, before=was)
    return [Cell(name, title=meaning), words.percent(was), words.percent(now), bar]


def _moved(why: Why) -> str:
    found = why.moved
    if found is None or not found.changed:
        return ""
    ways = table(
        ["from", "to", "windows"],
        [[was, now, f"{count:,}"] for was, now, count in found.ways],
    )
    which = table(
        ["device", "window ends", "from", "to", "label" if found.basis == "labels" else "teacher"],
        [
            [device, end[:19].replace("T", " "), was, now, truth]
            for device, end, was, now, truth in found.which
        ],
    )
    return ways + folded(f"{len(found.which)} of the windows that changed", which)


def _examples(found: Disagreement | None) -> str:
    if found is None or not found.examples:
        return ""
    return f"<div class=examples>{''.join(map(_example, found.examples))}</div>"


def _example(each: Example) -> str:
    told = f"{each.device}, {each.end[:19].replace('T', ' ')} UTC"
    teacher, student = (words.percent(p) for p in (each.teacher_p, each.student_p))
    said = f"teacher: {each.teacher} ({teacher}), student: {each.student} ({student})"
    if each.label:
        said += f", label: {each.label}"
    if each.picture:
        drawn = drawings.picture(each.picture)
    elif any(len(values) > 1 for values in each.values.values()):
        drawn = "".join(
            drawings.curve(f"{name}, last {len(values)} readings", values)
            for name, values in each.values.items()
        )
    else:
        rows = [[name, _scaled(values[0])] for name, values in each.values.items()]
        drawn = table(["input", "deviations from the mean"], rows)
    return f"<div class=example><p>{html.escape(told)}<br>{html.escape(said)}</p>{drawn}</div>"


def _scaled(value: float | None) -> str:
    return "missing" if value is None else f"{value:+.1f}"


def _distances(found: Drift | None) -> str:
    """Bars of each input's distance, with what is usual beside it."""
    if found is None:
        return ""
    full = max(FULL, *(each.distance for each in found.channels.values() if not each.constant), 0)
    rows = [_distance_row(name, each, full) for name, each in found.channels.items()]
    head = ["input", "distance", "", "usual", "last step"]
    shown = table(head, rows, kind="bars") + _small(DISTANCES)
    if found.bands:
        bands = [
            [name, band, f"{distance:.1f}", f"{usual:.1f}"] for name, band, distance, usual in found.bands
        ]
        head = ["input", "strength at", "distance", "usual"]
        strong = any(words.swings_differ(distance, usual) for _, _, distance, usual in found.bands)
        shown += folded("By frequency", table(head, bands), opened=strong)
    return shown


def _distance_row(name: str, each: Distance, full: float) -> list[object]:
    kind = "bar far" if words.drifted(each) else "bar"
    note = "was constant" if each.constant else ""
    step = "" if each.step is None else f"{each.step:.2f}"
    bar = Cell(
        "", kind=kind, title=f"{each.distance:.2f} standard deviations", shade=min(1.0, each.distance / full)
    )
    return [name, Cell(f"{each.distance:.2f}", note), bar, f"{each.usual:.2f}", step]
