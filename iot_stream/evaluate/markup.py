"""The pieces of a report's page that know nothing of runs. Whatever they are given, they escape."""

import html
from collections.abc import Sequence
from typing import NamedTuple

# A table of more rows than this is folded away: it would push all that follows off the reader's screen.
LONG = 30


class Cell(NamedTuple):
    """A cell of a table: its text, a note, CSS classes, a tooltip, a shade of 0 to 1, and one before."""

    text: str
    note: str = ""
    kind: str = ""
    title: str = ""
    shade: float | None = None
    before: float | None = None


def section(title: str, *body: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{''.join(body)}</section>"


def heading(title: str) -> str:
    return f"<h3>{html.escape(title)}</h3>"


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>" if text else ""


def folded(summary: str, body: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{html.escape(summary)}</summary>{body}</details>"


def definitions(kind: str, pairs: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in pairs)
    return f"<dl class={kind}>{items}</dl>"


def chip(key: str, value: str, word: str, title: str = "") -> str:
    """A button of a legend: report.js finds it by `data-{key}` and writes the value at the cursor into it."""
    return (
        f'<button type=button class=chip data-{key}="{html.escape(value)}" aria-pressed=true '
        f'title="{html.escape(title)}"><i></i><span>{html.escape(word)}</span> <output></output></button>'
    )


def plot(name: str, title: str, kind: str = "plot") -> str:
    """Where report.js draws; with the keyboard the arrows move its cursor."""
    words = f"{title}, a chart: the arrow keys read it"
    return f'<div class="{kind}" id={name} tabindex=0 role=group aria-label="{html.escape(words)}"></div>'


def table(head: Sequence[str | Cell], rows: Sequence[Sequence[object]], kind: str = "") -> str:
    """A table in a box of its own, which scrolls sideways on a narrow screen; first cells head their rows.

    A row whose first cell is of the kind "overall" is set off from the others.
    """
    top = "".join(_cell(cell, "th scope=col") for cell in head)
    body = "".join(_row(row) for row in rows)
    return (
        f'<div class=scroll tabindex=0><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def long_table(things: str, head: Sequence[str | Cell], rows: Sequence[Sequence[object]]) -> str:
    """A table that is folded away if it is long, under a line such as "All 120 rounds"."""
    whole = table(head, rows)
    return folded(f"All {len(rows):,} {things}", whole) if len(rows) > LONG else whole


def _row(row: Sequence[object]) -> str:
    first, *others = row
    overall = isinstance(first, Cell) and first.kind == "overall"
    cells = _cell(first, "th scope=row") + "".join(_cell(cell, "td") for cell in others)
    return f"<tr{' class=overall' if overall else ''}>{cells}</tr>"


def _cell(cell: object, tag: str) -> str:
    if not isinstance(cell, Cell):
        cell = Cell(str(cell))
    attributes = {
        "class": cell.kind,
        "title": cell.title,
        "style": _shades(cell),
    }
    given = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items() if value)
    note = f" <small>{html.escape(cell.note)}</small>" if cell.note else ""
    return f"<{tag}{given}>{html.escape(cell.text)}{note}</{tag.split()[0]}>"


def _shades(cell: Cell) -> str:
    shades = {"share": cell.shade, "before": cell.before}
    return ";".join(f"--{name}:{shade:.3f}" for name, shade in shades.items() if shade is not None)


def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%"


def size(count: float) -> str:
    """1234567 → "1.2 MB" (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f}\N{NO-BREAK SPACE}{unit}"
        count /= 1000
    return f"{count:,.1f} TB"
