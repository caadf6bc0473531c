"""The page in the terminal: does the promise hold, who is worst, what is learnt, which model went where."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from iot_stream.watch.dashboard.progress import Step
from iot_stream.watch.dashboard.views.fleet import Row
from iot_stream.watch.dashboard.views.marks import Recovery
from iot_stream.watch.dashboard.views.promise import Curve, Promise
from iot_stream.watch.dashboard.views.rounds import Line as RoundLine
from iot_stream.watch.dashboard.views.traffic import Way
from iot_stream.watch.terminal.shown import Shown

BLOCKS = "▁▂▃▄▅▆▇█"
COLOURS = {"student": "green", "static": "red", "teacher": "blue"}
OUTCOMES = {"released": "green", "rejected": "yellow", "held": "yellow", "failed": "red"}
KINDS = {"model": "magenta", "round": "cyan", "device": "green", "service": "blue", "unclear": "red"}
BESIDE = 38  # columns of the promise that are no curve
PROMISE, MIDDLE = 7, 14  # rows
FLAT = 0.02  # curves differ by less than this, from each other too
LEAST, BOTH = 4, 10  # rows for fleet and rounds, and for topics below them, at least
MARKED = ("drift", "released", "rejected", "swap")
STEP = re.compile(r"step (\d+) of (\d+)")


def page(
    shown: Shown, width: int, height: int, *, paused: bool, now: datetime, trouble: str = ""
) -> RenderableType:
    """`now`: when it was looked at; `trouble`: what went wrong last."""
    left = height - 1 - PROMISE
    middle = left if left < BOTH else min(MIDDLE, left // 2)
    parts = [Layout(_promise(shown, width), size=min(PROMISE, height - 1))]
    if middle >= LEAST:
        row = Layout(size=middle)
        row.split_row(Layout(_fleet(shown.fleet, shown.by, middle - 3)), Layout(_rounds(shown, middle - 2)))
        parts.append(row)
    if left >= BOTH:
        parts.append(Layout(_topics(shown, left - middle - 2)))
    elif middle < LEAST:
        parts.append(Layout(""))
    layout = Layout()
    layout.split_column(*parts, Layout(_keys(shown, paused, now, trouble), size=1))
    return layout


def spark(values: Sequence[float | None], width: int, low: float) -> str:
    """The newest to the right; `low` is the lowest block, 1 the highest, a blank where nothing is known."""
    if not values:
        return ""
    step = max(1.0, len(values) / max(1, width))
    cells = [values[int(i * step) : max(int(i * step) + 1, int((i + 1) * step))] for i in range(width)]
    return "".join(_block([each for each in cell if each is not None], low) for cell in cells if cell)


def _block(values: list[float], low: float) -> str:
    if not values:
        return " "
    share = (sum(values) / len(values) - low) / max(1e-9, 1 - low)
    return BLOCKS[max(0, min(len(BLOCKS) - 1, int(share * len(BLOCKS))))]


def lowest(curves: Sequence[Curve]) -> float:
    """The tenth under the lowest of all, so that the curves fill the height; 0 where they are flat, so that
    they stand at theirs."""
    known = [each for curve in curves for each in curve.plain if each is not None]
    if not known or max(known) - min(known) < FLAT:
        return 0.0
    return int(min(known) * 10) / 10


def _promise(shown: Shown, width: int) -> RenderableType:
    promise = shown.promise
    low = lowest(list(promise.curves.values()))
    table = Table.grid(padding=(0, 1))
    for name, figure in promise.newest.items():
        curve = promise.curves.get(name)
        table.add_row(
            Text(name, COLOURS[name]),
            Text(f"{_percent(figure.plain):>6}", "bold"),
            Text(f"balanced {_percent(figure.balanced):>6}", "dim"),
            Text(spark(curve.plain if curve else (), max(10, width - BESIDE), low), COLOURS[name]),
        )
    by = "labels" if promise.by == "labels" else f"the teacher's word, for {_unlabelled(promise)}"
    span = f", curves from {low:.0%} to 100%" if promise.times else ""
    title = f"Promise of {shown.pipeline}: right by {by}{span}"
    return Panel(Group(table, _numbers(promise), _happened(promise)), title=title, title_align="left")


def _unlabelled(promise: Promise) -> str:
    if not promise.strayed:
        return "there are no labels"
    return f"of {promise.strayed:,} labels none joined a window (iot-stream windows stats)"


def _numbers(promise: Promise) -> Text:
    recovery = promise.recovery
    words = [_lost(promise), f"missed {promise.missed:,}"]
    if recovery is not None:
        words.insert(0, _recovery(recovery))
    words += [f"{arrow} {_way(way)}" for arrow, way in (("↑", promise.up), ("↓", promise.down)) if way]
    return Text("   ".join(words))


def _lost(promise: Promise) -> str:
    if promise.numbered >= promise.readings:
        return f"lost {promise.lost:,} of {promise.readings:,} readings"
    if promise.numbered or promise.lost:
        return f"lost {promise.lost:,} of {promise.numbered:,} numbered readings"
    return f"{promise.readings:,} readings, not numbered: loss cannot be told"


def _recovery(recovery: Recovery) -> str:
    if recovery.seconds is not None:
        return f"recovered in {recovery.seconds:.1f} s (all devices)"
    return f"drift: {recovery.words if recovery.version else 'no better version yet'}"


def _way(way: Way) -> str:
    """Of one device."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if way.per_day >= size:
            return f"{way.per_day / size:.1f} {unit}/day"
    return f"{way.per_day} B/day"


def _happened(promise: Promise) -> Text:
    if not promise.marks:
        return Text("nothing has happened yet: no drift, no round", "dim")
    last = promise.marks[-1]
    kinds = [mark.kind for mark in promise.marks]
    told = ", ".join(f"{n} {kind}" for kind in MARKED if (n := kinds.count(kind)))
    return Text(f"{told + '; ' if told else ''}last: {last.words}", "dim", no_wrap=True, overflow="ellipsis")


def _wrong(row: Row) -> Iterator[str]:
    if row.held:
        yield "held"
    if row.unmet:
        yield "meets no window"
    if row.silent:
        yield "silent"
    if row.pinned:
        yield "pinned"


def _fleet(rows: list[Row], by: str, most: int) -> RenderableType:
    online = sum(row.online is True for row in rows)
    behind, held = sum(row.behind for row in rows), sum(bool(row.held) for row in rows)
    title = f"Fleet: {online} of {len(rows)} online, {behind} behind, {held} held"
    if not rows:
        text = "no device yet: `iot-stream device add NAME` makes the file that one starts with"
        return Panel(Text(text, "dim"), title=title, title_align="left")
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    table.add_column("worst first", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("version", "labels" if by == "labels" else "agrees", "drift", "lost"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(rows, key=_worst)[: max(1, most)]:
        style = "dim" if row.online is False else "yellow" if row.held else ""
        table.add_row(
            Text(" ".join([row.device, *_wrong(row)])),
            Text(f"{row.version or '–'}{'!' if row.behind else ''}"),
            _percent(row.right),
            "–" if row.drift is None else f"{row.drift:+.2f}",
            _percent(row.lost),
            style=style,
        )
    return Panel(table, title=title, title_align="left")


def _worst(row: Row) -> tuple[bool, float, float, str]:
    return (not row.held, row.right if row.right is not None else 2.0, -(row.lost or 0), row.device)


def _rounds(shown: Shown, most: int) -> RenderableType:
    rounds = shown.rounds
    usual = "" if rounds.usual_s is None else f", usually {rounds.usual_s:.1f} s"
    title = f"Rounds{usual}"
    lines: list[RenderableType] = []
    if rounds.paused:
        lines.append(Text(f"paused: {rounds.paused}", "yellow"))
    lines += [Text(f"the teacher is held: {each}", "yellow") for each in rounds.doubts]
    for name, steps in shown.running.items():
        started = next((each.started for each in rounds.rounds if each.id == name), None)
        elapsed = 0.0 if started is None else rounds.now - started
        lines += _running(name, steps, elapsed, rounds.usual_s)
    lines += [_round(each) for each in rounds.rounds if each.ended is not None]
    if not lines:
        lines.append(Text("no round yet: `iot-stream serve` runs them, as `triggers` says", "dim"))
    return Panel(Group(*lines[: max(1, most)]), title=title, title_align="left")


def _running(name: str, steps: list[Step], elapsed: float, usual: float | None) -> list[RenderableType]:
    """Where it is, and a bar: of the training's steps, or of the time that rounds take."""
    last = steps[-1] if steps else None
    what = " ".join(filter(None, (last.stage, last.detail))) if last else "started"
    row = Table.grid(padding=(0, 1))
    done = done_of(steps, elapsed, usual)
    if done is None:
        return [Text(f"{name}: {what}", "cyan", no_wrap=True, overflow="ellipsis")]
    share, left = done
    row.add_row(ProgressBar(1.0, share, width=20), Text(f"about {left:.0f} s left" if left else "any moment"))
    return [Text(f"{name}: {what}", "cyan", no_wrap=True, overflow="ellipsis"), row]


def done_of(steps: list[Step], elapsed: float, usual: float | None) -> tuple[float, float] | None:
    """The share that is done and the seconds that are left, by the training's steps or by the usual time."""
    counted = [(step, found) for step in steps if (found := STEP.search(step.detail))]
    if len(counted) > 1 and counted[-1][0] is steps[-1]:
        (first, begin), (last, end) = counted[0], counted[-1]
        done, total = int(end[1]), int(end[2])
        pace = (last.at - first.at) / max(1, done - int(begin[1]))
        return done / total, (total - done) * pace
    if usual is None or not elapsed:
        return None
    return min(1.0, elapsed / usual), max(0.0, usual - elapsed)


def _round(each: RoundLine) -> Text:
    outline = each.outline
    what = f" version {outline.version}" if outline.version else ""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{datetime.fromtimestamp(each.started):%H:%M:%S} ", "dim")
    text.append(f"{each.outcome}{what}", OUTCOMES.get(each.outcome, ""))
    return text.append(f" {outline.gate.reason or outline.error} ({each.trigger})")


def _topics(shown: Shown, most: int) -> RenderableType:
    lines = shown.lines
    title = "Model updates, rounds and devices, as they happen"
    if not lines.connected:
        title += ": the broker is not there, trying"
    body: list[RenderableType] = []
    for line in lines.lines[-max(1, most) :]:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("  retained " if line.kept else f"{datetime.fromtimestamp(line.at):%H:%M:%S}   ", "dim")
        text.append(f"{line.kind:8} ", KINDS.get(line.kind, ""))
        body.append(text.append(f"{line.about}: {line.words}"))
    return Panel(Group(*body), title=title, title_align="left")


def _keys(shown: Shown, paused: bool, now: datetime, trouble: str) -> Text:
    several = f"   n next of {len(shown.pipelines)} pipelines" if len(shown.pipelines) > 1 else ""
    state = "paused, p goes on" if paused else "p pause"
    behind = "   (the past is still being read)" if shown.promise.behind else ""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {now:%H:%M:%S}   q quit   {state}{several}{behind} ", "reverse")
    return text.append(f" {trouble}", "yellow")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
