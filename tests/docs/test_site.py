"""The site builds: no broken link, no page left out, nothing fetched from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in pages():
        name = page.relative_to(ROOT).with_suffix(".html")
        assert (site / (name.with_name("index.html") if page.name == "README.md" else name)).exists(), name


def test_tables_and_lists_are_seen_as_such(site: Path) -> None:
    """What MkDocs takes for running text though GitHub does not."""
    for path in site.rglob("*.html"):
        body = re.sub(r"<(pre|code)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"<p>(?:(?!</p>).)*\n(?:- |\|)", body, re.DOTALL), path
        assert "|---" not in body, path


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?(https?:[^\" >]+)", path.read_text()
        )
        assert fetched == [], path
