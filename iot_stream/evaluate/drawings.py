"""Small drawings of a report's page, as inline SVG: they need no script, and follow the page's colours."""

import html
from collections.abc import Mapping, Sequence

Values = Sequence[float | None]

WIDTH, HEIGHT, EDGE = 320, 64, 3


def curve(name: str, values: Values) -> str:
    """One line from left to right; a missing value is a gap. Its least and greatest value are told."""
    known = [value for value in values if value is not None]
    if not known:
        return f"<figure class=trace><figcaption>{html.escape(name)}: all missing</figcaption></figure>"
    low, high = min(known), max(known)
    across = (WIDTH - 2 * EDGE) / max(1, len(values) - 1)
    up = (HEIGHT - 2 * EDGE) / (high - low) if high > low else 0.0

    def point(number: int, value: float) -> str:
        return f"{EDGE + number * across:.1f},{HEIGHT - EDGE - (value - low) * up:.1f}"

    lines, line = [], []
    for number, value in enumerate([*values, None]):
        if value is not None:
            line.append(point(number, value))
        elif line:
            # A point alone is a line to itself, which round ends make a dot.
            lines.append(f'<polyline points="{" ".join(line if len(line) > 1 else line * 2)}"/>')
            line = []
    told = html.escape(f"{name}: {_figure(low)} to {_figure(high)}")
    return (
        f"<figure class=trace><figcaption>{told}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio=none role=img aria-label="{told}">'
        f"{''.join(lines)}</svg></figure>"
    )


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def picture(rows: Sequence[Values]) -> str:
    """Pixels from dark to light, over their own range."""
    known = [value for row in rows for value in row if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = 100 / ((high - low) or 1)
    cells = "".join(
        f'<rect x={x} y={y} width=1 height=1 style="fill:hsl(0 0% {scale * (value - low):.0f}%)"/>'
        for y, row in enumerate(rows)
        for x, value in enumerate(row)
        if value is not None
    )
    return (
        f'<svg class=picture viewBox="0 0 {len(rows[0])} {len(rows)}" role=img aria-label="the picture">'
        f"{cells}</svg>"
    )


def strip(title: str, columns: Sequence[str], rows: Mapping[str, Values], full: float, unit: str) -> str:
    """A row of shaded fields for each name, a column for each of `columns`; darkest at `full`."""
    if not rows:
        return ""
    fields = {name: _fields(name, columns, values, full, unit) for name, values in rows.items()}
    body = "".join(
        f"<tr><th scope=row>{html.escape(name)}</th><td>{drawn}</td></tr>" for name, drawn in fields.items()
    )
    return (
        f"<figure class=strip><figcaption>{html.escape(title)}</figcaption>"
        f"<div class=scroll tabindex=0><table><tbody>{body}</tbody></table></div></figure>"
    )


def _fields(name: str, columns: Sequence[str], values: Values, full: float, unit: str) -> str:
    cells = "".join(
        f'<rect x={number} width=.92 height=1 style="--share:{min(1.0, value / full):.3f}">'
        f"<title>{html.escape(f'{name}, {column}: {value:.2f} {unit}')}</title></rect>"
        for number, (column, value) in enumerate(zip(columns, values, strict=True))
        if value is not None
    )
    box = f"0 0 {len(columns)} 1"
    return f'<svg viewBox="{box}" preserveAspectRatio=none role=img aria-hidden=true>{cells}</svg>'
