"""One round explained, as a page of its own."""

from collections.abc import Mapping
from pathlib import Path

from iot_stream.evaluate import page
from iot_stream.evaluate.explained import Explained
from iot_stream.evaluate.report import ReportData


def write(path: Path, title: str, each: Explained, verdict: str, facts: Mapping[str, str]) -> None:
    """`verdict`: what the round came to, in a sentence; `facts`: what is needed to find it again."""
    page.write(path, ReportData(title=title, subtitle=verdict, why=[each], facts=facts))
