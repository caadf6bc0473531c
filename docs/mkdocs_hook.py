"""What the site shows: the repository's own pages where they stand, so that a link holds there and here.

MkDocs knows one folder of pages; ours stand in `docs/`, at the top and beside the examples. Files that a page
links to (pictures, configurations, a program) are published with it, and nothing else is.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/**/*.md",
    "examples/*/README.md",
    "examples/*/data/README.md",
)
TARGET = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)|src=\"([^\":]+)\"")


def pages() -> list[Path]:
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def targets(page: Path) -> list[Path]:
    """What a page links to or shows, outside its fenced blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = (link or source for link, source in TARGET.findall(text))
    return [(page.parent / each).resolve() for each in found]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages, and what they link to; the theme's own files stay."""
    shown = pages()
    linked = {path for page in shown for path in targets(page) if path.is_file()}
    own = Files([each for each in files if not Path(each.abs_src_path or "").is_relative_to(config.docs_dir)])
    for path in sorted({*shown, *linked}):
        place = str(path.relative_to(ROOT))
        own.append(File(place, str(ROOT), config.site_dir, config.use_directory_urls))
    return own
