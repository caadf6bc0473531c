"""The report: what it shows, that nothing escapes it, and that a real browser draws it."""

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.evaluate.page import render, write
from iot_stream.evaluate.report import (
    RIVALS,
    Device,
    Figure,
    Interval,
    Mark,
    ReportData,
    Round,
    Series,
    Table,
    Traffic,
)

HOSTILE = "</script><script>alert(1)</script>&'\"<b>$title ${css} $$"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def a_run(text: str = "load and speed change") -> ReportData:
    """A small run with everything in it, and `text` wherever a run may put words."""
    times = [float(second) for second in range(40)]
    return ReportData(
        title=f"Twelve machines {text}",
        subtitle=text,
        figures=[Figure("recovered after", "11.2 s", text)],
        accuracy={
            "teacher": Series(times, [0.98] * 40),
            "student": Series(
                times,
                [0.96] * 20 + [0.7] * 5 + [0.95] * 15,
                low=[None] * 20 + [0.6] * 5 + [0.931] * 15,
                high=[None] * 20 + [0.8] * 5 + [0.964] * 15,
            ),
            "static": Series(times[::2], [0.96] * 10 + [0.7] * 10),
            "a rival of one's own": Series(times, [None] * 20 + [0.8] * 20),
        },
        marks=[
            Mark(0.0, "segment", text),
            Mark(20.0, "segment", "heavy"),
            Mark(26.0, "swap", text),
            Mark(20.0, "drift", text),
            Mark(25.0, "released", text),
            Mark(10.0, "rejected", text),
        ],
        traffic=Traffic(times, [1000 * second for second in range(40)], [0] * 25 + [1_234_567] * 15),
        measures={
            f"accuracy {text}": {
                f"day 1 {text}": {"student": Interval(0.931, 0.918, 0.944), "static": Interval(0.8)},
                "overall": {"student": Interval(0.9, 0.85, 0.91), "static": Interval(0.9)},
            },
            "balanced accuracy": {"overall": {"student": Interval(0.88), "teacher": Interval(0.99)}},
        },
        classes=[f"inner {text}", "outer"],
        confusion={
            "student": [[90, 10], [0, 12_345]],
            "static": [[1, 2], [3, 4]],
            "teacher": [[0, 0], [0, 5]],
        },
        recall={"outer": {"student": 0.75, "static": 0.5}},
        tables=[Table(f"The stages {text}", text, ["stage", text], [["fusion", text]])],
        rounds=[
            Round("r-1", text, "rejected", None, text, "1.8 s"),
            Round("r-2", "count", "released", 2, "+21.0 %", "2.1 s"),
        ],
        devices=[Device("machine-01", 2, 1, 12_345)],
        facts={"command": text},
    )


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data = b""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script" and self.tags[-1][1].get("id") == "data":
            self.data += data.encode()
        elif self._inside not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace("\N{NO-BREAK SPACE}", " ")

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_it_shows_what_the_run_has_to_say() -> None:
    text = Page(render(a_run())).text
    shown = [
        "Twelve machines",
        "11.2 s",
        "2 rounds: 1 released, 1 rejected.",
        "machine-01",
        "12,345",
        "39.0 kB",
        "1.2 MB",
    ]
    assert [words for words in shown if words not in text] == []
    assert all(meaning in text for name, (_, meaning) in RIVALS.items() if name in a_run().accuracy)


def test_rivals_stand_in_their_order_and_strangers_after_them() -> None:
    chips = [each["data-rival"] for _, each in Page(render(a_run())).tags if "data-rival" in each]
    assert chips == ["student", "static", "teacher", "a rival of one's own"]


def test_the_embedded_data_is_that_of_the_run() -> None:
    run = a_run(HOSTILE)
    data = msgspec.json.decode(Page(render(run)).data)
    assert data["accuracy"] == msgspec.to_builtins(run.accuracy)
    assert data["accuracy"]["student"]["low"][19:21] == [None, 0.6]
    assert data["accuracy"]["student"]["high"][-1] == 0.964
    assert [mark["seconds"] for mark in data["marks"]] == [0.0, 10.0, 20.0, 20.0, 25.0, 26.0]
    assert data["marks"][1]["label"] == HOSTILE
    assert data["traffic"] == msgspec.to_builtins(run.traffic)


def test_what_is_left_empty_is_left_out() -> None:
    page = render(ReportData(title="nothing", subtitle="yet"))
    body = page[page.index("<main>") :]
    assert "<section>" not in body
    assert "<dl class=figures>" not in body


@given(st.text(min_size=1) | st.just(HOSTILE))
def test_words_of_a_run_cannot_become_markup(text: str) -> None:
    hostile, tame = Page(render(a_run(text))), Page(render(a_run("tame")))
    assert [name for name, _ in hostile.tags] == [name for name, _ in tame.tags]


def test_it_asks_for_nothing_from_anywhere() -> None:
    page = render(a_run())
    loaders = {"src", "href", "srcset", "action", "data"}
    assert not [each for _, each in Page(page).tags if loaders & each.keys()]
    assert Page(page).count("link") == Page(page).count("img") == 0
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", page)


def test_without_a_script_the_curves_are_a_table_of_means() -> None:
    page = render(a_run())
    table = page[page.index("<noscript>") : page.index("</noscript>")].replace("\N{NO-BREAK SPACE}", " ")
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    assert rows[0] == ["0 s", "96.0 %", "96.0 %", "98.0 %", ""]
    assert rows[-1] == ["34 s", "95.0 %", "70.0 %", "98.0 %", "80.0 %"]
    assert len(rows) == 8


def test_dates_are_shown_as_dates() -> None:
    day = Series([1_423_612_800.0, 1_423_699_200.0], [0.5, 1.0])
    page = render(ReportData(title="office", subtitle="", dates=True, accuracy={"student": day}))
    assert "<th scope=row>2015-02-11 00:00</th>" in page


def rows_of(page: str, title: str) -> list[list[tuple[str, str]]]:
    """The rows of the table that follows a title: (classes, text) of each cell, its head left out."""
    table = page[page.index(f">{title}</h") :].replace("\N{NO-BREAK SPACE}", " ")
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    cells = r'<t[hd](?: scope=row)?(?: class="(.*?)")?[^>]*>(.*?)</t[hd]>'
    return [
        [(kind, re.sub("<.*?>", "", text)) for kind, text in re.findall(cells, row)]
        for row in body.split("<tr")[1:]
    ]


def test_intervals_are_shown_even_or_uneven_or_not_at_all() -> None:
    rows = rows_of(render(a_run("x")), "accuracy x")
    assert [text for _, text in rows[0]] == ["day 1 x", "93.1 % ± 1.3", "80.0 %"]
    assert [text for _, text in rows[1]] == ["overall", "90.0 % 85.0–91.0", "90.0 %"]


def test_the_best_student_of_a_row_stands_out_and_the_teacher_never_does() -> None:
    page = render(a_run("x"))
    best = [["best" in kind for kind, _ in row] for row in rows_of(page, "accuracy x")]
    assert best == [[False, True, False], [False, True, True]]
    assert not any("best" in kind for kind, _ in rows_of(page, "balanced accuracy")[0])


def test_a_single_measure_is_the_title_of_its_section() -> None:
    days = {"day 1": {"student": Interval(0.5)}}
    page = render(ReportData(title="", subtitle="", measures={"accuracy": days, "tail": {}}))
    assert "<h2>Accuracy by segment</h2>" in page
    assert "<h3>" not in page


def test_a_rival_that_a_segment_lacks_leaves_its_cell_empty() -> None:
    days = {"day 1": {"student": Interval(0.5)}, "day 2": {"static": Interval(0.4)}}
    rows = rows_of(
        render(ReportData(title="", subtitle="", measures={"accuracy": days})), "Accuracy by segment"
    )
    assert [[text for _, text in row] for row in rows] == [["day 1", "50.0 %", ""], ["day 2", "", "40.0 %"]]


def test_confusion_is_shaded_by_the_share_of_the_row_and_says_what_is_taken_for_what() -> None:
    page = Page(render(a_run("x")))
    cells = [each for name, each in page.tags if name == "td" and "--share" in (each.get("style") or "")]
    shares = [float((each["style"] or "").removeprefix("--share:")) for each in cells]
    assert shares == [0.9, 0.1, 0, 1, 0.333, 0.667, 0.429, 0.571, 0, 0, 0, 1]
    kinds = [each["class"] for each in cells]
    assert kinds[:4] == ["right", "wrong", "none", "right"]
    assert cells[1]["title"] == "inner x, taken for outer: 10 of 100 (10.0\N{NO-BREAK SPACE}%)"
    assert (cells[3]["title"] or "").startswith("outer, taken for outer: 12,345 of 12,345")
    assert "12.3k" in page.text


def test_more_than_two_confusions_are_folded_away() -> None:
    run = a_run()
    folded = render(run)
    assert "The other rivals" in folded
    assert folded.index("The other rivals") < folded.index("<figcaption>teacher")
    two = {name: run.confusion[name] for name in ("student", "static")}
    assert "The other rivals" not in render(msgspec.structs.replace(run, confusion=two))


def test_a_matrix_of_another_size_than_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        render(ReportData(title="", subtitle="", classes=["a"], confusion={"student": [[1, 2], [3, 4]]}))


def test_recall_and_tables_of_its_own_are_shown() -> None:
    page = render(a_run("x"))
    assert [text for _, text in rows_of(page, "Recall by class")[0]] == ["outer", "75.0 %", "50.0 %"]
    assert [text for _, text in rows_of(page, "The stages x")[0]] == ["fusion", "x"]


def test_many_rounds_are_folded_away_and_few_are_not() -> None:
    many = [Round(f"r-{number}", "count", "held", None, "", "") for number in range(120)]
    run = ReportData(title="", subtitle="", rounds=many)
    folded = Page(render(run))
    assert "120 rounds: 120 held." in folded.text
    assert "All 120 rounds" in folded.text
    assert folded.count("details") == 1
    assert Page(render(msgspec.structs.replace(run, rounds=many[:5]))).count("details") == 0


def test_write_makes_the_folder_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "demo" / "report.html"
    write(path, a_run())
    write(path, a_run("the second"))
    assert path.read_text() == render(a_run("the second"))
    assert list(path.parent.iterdir()) == [path]


def test_the_page_is_small_enough_to_mail() -> None:
    assert len(render(a_run()).encode()) < 200_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to look at the page with")
@pytest.mark.parametrize("width", [360, 1200])
def test_a_browser_draws_it_without_an_error(tmp_path: Path, width: int) -> None:
    write(tmp_path / "report.html", a_run(HOSTILE))
    # A window is never narrower than 500 pixels; a frame may be.
    (tmp_path / "frame.html").write_text(f"""
        <iframe src=report.html style="width:{width}px; height:2000px; border:0"></iframe>
        <script>
          const frame = document.querySelector("iframe"), failed = [];
          addEventListener("error", (event) => failed.push(event.message));
          frame.contentWindow.addEventListener("error", (event) => failed.push(event.message));
          onload = async () => {{
            const page = frame.contentDocument, plot = page.getElementById("accuracy");
            const Key = frame.contentWindow.KeyboardEvent;
            const press = (key) => plot.dispatchEvent(new Key("keydown", {{ key }}));
            const student = page.querySelector("[data-rival=student]");
            const read = () => student.querySelector("output").textContent;
            const picture = () => plot.querySelector("canvas").toDataURL();
            const latest = read();
            press("Home"); press("ArrowRight");
            const second = read();
            press("End");
            const drawn = picture();
            student.click();
            await null; // uPlot draws in a microtask
            const without = picture();
            document.body.dataset.seen = JSON.stringify({{
              failed,
              latest,
              second,
              last: read(),
              redrawn: drawn !== without,
              plots: [...page.querySelectorAll(".plot canvas")].map((canvas) => canvas.clientWidth),
              wide: page.documentElement.scrollWidth,
            }});
          }};
        </script>""")
    assert CHROMIUM is not None
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    quiet += ["--disable-background-networking", "--disable-component-update"]
    here = ["--allow-file-access-from-files", f"--user-data-dir={tmp_path}/profile"]
    page = (tmp_path / "frame.html").as_uri()
    ran = subprocess.run(
        [CHROMIUM, *quiet, *here, "--window-size=1400,2200", "--dump-dom", page],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = re.search(r'data-seen="(.*?)"', ran.stdout)
    assert found, "the page's script did not run to its end"
    seen = msgspec.json.decode(html.unescape(found.group(1)))
    assert seen["failed"] == []
    assert [seen[when].replace("\N{NO-BREAK SPACE}", " ") for when in ("latest", "second", "last")] == [
        "95.0 % (93.1–96.4)",
        "96.0 %",
        "95.0 % (93.1–96.4)",
    ]
    assert seen["redrawn"], "switching a rival off leaves its curve and band where they are"
    assert len(seen["plots"]) == 2
    assert all(0 < plot <= width for plot in seen["plots"])
    assert seen["wide"] <= width, "the page scrolls sideways"
