"""The section "Why it changed": what it shows, that nothing escapes it, and that it stays short."""

from pathlib import Path

import numpy as np

from iot_stream.distill.explain.why import (
    Decision,
    Disagreement,
    Distance,
    Drift,
    Example,
    Learnt,
    Moved,
    Why,
)
from iot_stream.evaluate import drawings, explain_page
from iot_stream.evaluate.explained import TITLES, TOLD, Explained, why_section
from tests.evaluate.test_report import HOSTILE, Page

NOTHING = Learnt(0, 0, 0, 0, 0, 0, {}, "", "")
SILENT = Why(None, None, None, None, NOTHING, {"moved": ["Too few windows."]})


def a_why(text: str = "", changed: int = 34) -> Why:
    """With everything in it, and `text` wherever a device or a person may put words."""
    example = Example(
        f"room {text}", "2015-02-11T08:00:00.000Z", f"empty {text}", 0.93, f"occupied {text}", 0.71,
        f"empty {text}", {f"co2 {text}": [1.0, None, 3.0], "all missing": [None, None, None]}, [],
    )  # fmt: skip
    picture = Example(
        "cam", "2015-02-11T08:00:00.000Z", "a", 0.9, "b", 0.9, "", {}, [[0.0, 1.0], [None, 0.5]]
    )
    single = Example(
        "r", "2015-02-11T08:00:00.000Z", "a", 0.9, "b", 0.9, "", {"z": [2.25], "gone": [None]}, []
    )
    return Why(
        Decision(
            64, (0.0, 0.0), {f"co2 {text}": (0.31, 0.62), "light": (0.6, 0.3)}, (0.09, 0.08),
            {"level": (0.5, 0.4), "1–2 Hz": (0.5, 0.6)}, [(f"co2 {text}", "level", 0.2, 0.3)],
            {f"co2 {text}": text},
        ),
        Moved(
            512, changed, "teacher", 34, 30, 4, {f"empty {text}": (300, 266)},
            [(f"empty {text}", text, changed)],
            [(f"room {text}", "2015-02-11T08:00:00.000Z", text, text, text)],
        ),
        Disagreement(
            512, 16, 40, 3, 0, 0, 0, {text: (16, 512)}, {text: (16, 512)}, [example, picture, single]
        ),
        Drift(
            800, 400, 3,
            {f"co2 {text}": Distance(1.8, 0.6, 0.2, 0.5), "light": Distance(40.0, 0, constant=True)},
            [(f"co2 {text}", "1–2 Hz", 2.0, 0.1)],
        ),
        Learnt(400, 1000, 3, 512, 0, 1, {f"room {text}": 400}, "2015", "2015"),
        {part: [f"{part}: {text}."] for part in TITLES},
    )  # fmt: skip


def rounds(count: int) -> list[Explained]:
    return [Explained(f"r-{number}", "released", a_why(changed=number)) for number in range(count)]


def test_nothing_that_devices_say_becomes_markup(tmp_path: Path) -> None:
    page = tmp_path / "deep" / "why.html"
    explain_page.write(
        page, HOSTILE, Explained(HOSTILE, HOSTILE, a_why(HOSTILE), 3), HOSTILE, {"round": HOSTILE}
    )
    text = page.read_text()
    assert "<script>alert" not in text
    found = Page(text)
    assert "b" not in {tag for tag, _ in found.tags}
    assert HOSTILE in found.text
    assert not [given for _, given in found.tags if (given.get("src") or given.get("href"))]


def test_one_round_shows_every_part() -> None:
    section = why_section([Explained("r-1", "released", a_why(), 7)])
    for title in TITLES.values():
        assert f"<h3>{title}</h3>" in section
    assert "7 windows were left out, for a person excluded them." in section
    assert section.count("<polyline") == 2  # the curve is broken where a value is missing
    assert section.count("<rect") == 3
    assert ">+2.2<" in section
    assert "all missing, last 3 readings: all missing" in section
    assert "was constant" in section
    assert "class=strip" not in section


def test_a_round_of_which_nothing_is_known_says_that() -> None:
    section = why_section([Explained("r-1", "held", SILENT)])
    assert "Too few windows." in section
    assert "<table" not in section
    assert why_section([]) == ""


def test_of_many_rounds_those_that_changed_most_are_told() -> None:
    section = why_section(rounds(100))
    assert f"The {TOLD} of 100 rounds in which most windows changed class." in section
    assert section.count("windows changed class</summary>") == TOLD
    assert section.count("<details open><summary>r-") == 1
    assert "r-99, released: 99 of 512 windows changed class" in section
    assert "r-87, released" not in section
    assert section.count("class=strip") == 2
    assert len(section) < 250_000


def test_a_strip_says_its_values() -> None:
    drawn = drawings.strip("Drift", ["r-1", "r-2", "r-3"], {"co2": [1.5, None, 9.0]}, 3.0, "deviations")
    assert drawn.count("<rect") == 2
    assert 'style="--share:0.500"' in drawn
    assert 'style="--share:1.000"' in drawn
    assert "co2, r-1: 1.50 deviations" in drawn
    assert drawings.strip("Drift", ["r-1"], {}, 3.0, "") == ""


def test_a_curve_keeps_to_its_box() -> None:
    rng = np.random.default_rng(0)
    for values in ([5.0], [2.0, 2.0], rng.standard_normal(96).tolist()):
        drawn = drawings.curve("x", values)
        points = drawn.split('points="')[1].split('"')[0].split()
        for point in points:
            across, down = map(float, point.split(","))
            assert 0 <= across <= drawings.WIDTH
            assert 0 <= down <= drawings.HEIGHT
