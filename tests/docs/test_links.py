"""Every link inside the repository leads to a file, and to a heading that is there."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{path}: no file; a folder cannot be shown on the site"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path}#{anchor}: there are {sorted(anchors(target))}"


def test_links_are_found() -> None:
    found = [link for page in pages() for link in links(page)]
    assert len(found) > 200
    assert sum(bool(anchor) for _, anchor in found) > 20


def test_a_heading_is_called_as_github_calls_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Why: `a`, b & c?\n## [Own](x.md) teacher\n## Own teacher\n```sh\n# no heading\n```\n")
    assert anchors(page) == {"why-a-b--c", "own-teacher", "own-teacher_1"}
