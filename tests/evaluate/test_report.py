"""The report: what it shows, that nothing escapes it, and that a real browser draws it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.evaluate.report import (
    RIVALS,
    Device,
    Figure,
    Mark,
    ReportData,
    Round,
    Series,
    Traffic,
    render,
    write,
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
            "student": Series(times, [0.96] * 20 + [0.7] * 5 + [0.95] * 15),
            "static": Series(times[::2], [0.96] * 10 + [0.7] * 10),
            "a rival of one's own": Series(times, [None] * 20 + [0.8] * 20),
        },
        marks=[
            Mark(26.0, "swap", text),
            Mark(20.0, "drift", text),
            Mark(25.0, "released", text),
            Mark(10.0, "rejected", text),
        ],
        traffic=Traffic(times, [1000 * second for second in range(40)], [0] * 25 + [1_234_567] * 15),
        segments={f"day 1 {text}": {"student": 0.9, "static": 0.8}},
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

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_it_shows_what_the_run_has_to_say() -> None:
    page = Page(render(a_run()))
    text = " ".join(" ".join(page.words).split())
    shown = [
        "Twelve machines",
        "11.2 s",
        "2 rounds, 1 released.",
        "machine-01",
        "12,345",
        "39.0 kB",
        "1.2 MB",
    ]
    assert [words for words in shown if words not in text.replace("\N{NO-BREAK SPACE}", " ")] == []
    assert all(meaning in text for name, (_, meaning) in RIVALS.items() if name in a_run().accuracy)


def test_rivals_stand_in_their_order_and_strangers_after_them() -> None:
    chips = [each["data-rival"] for _, each in Page(render(a_run())).tags if "data-rival" in each]
    assert chips == ["student", "static", "teacher", "a rival of one's own"]


def test_the_embedded_data_is_that_of_the_run() -> None:
    run = a_run(HOSTILE)
    data = msgspec.json.decode(Page(render(run)).data)
    assert data["accuracy"] == msgspec.to_builtins(run.accuracy)
    assert [mark["seconds"] for mark in data["marks"]] == [10.0, 20.0, 25.0, 26.0]
    assert data["marks"][1]["label"] == HOSTILE
    assert data["traffic"] == msgspec.to_builtins(run.traffic)


def test_what_is_left_empty_is_left_out() -> None:
    page = render(ReportData(title="nothing", subtitle="yet"))
    body = page[page.index("<main>") :]
    assert "<section>" not in body
    assert "<dl class=figures>" not in body


@given(st.text() | st.just(HOSTILE))
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
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    assert rows[0] == ["0 s", "96.0 %", "96.0 %", "98.0 %", ""]
    assert rows[-1] == ["34 s", "95.0 %", "70.0 %", "98.0 %", "80.0 %"]
    assert len(rows) == 8


def test_dates_are_shown_as_dates() -> None:
    day = Series([1_423_612_800.0, 1_423_699_200.0], [0.5, 1.0])
    page = render(ReportData(title="office", subtitle="", dates=True, accuracy={"student": day}))
    assert "<td>2015-02-11T00:00</td>" in page


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
          onload = () => {{
            const page = frame.contentDocument;
            document.body.dataset.seen = JSON.stringify({{
              failed,
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
    seen = msgspec.json.decode(found.group(1).replace("&quot;", '"'))
    assert seen["failed"] == []
    assert len(seen["plots"]) == 2
    assert all(0 < plot <= width for plot in seen["plots"])
    assert seen["wide"] <= width, "the page scrolls sideways"
