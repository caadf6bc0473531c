"""The documentation as its tests see it: pages, their fenced blocks, headings and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
_NAMED = re.compile(r"(?:#|//) ([\w-]+\.(?:yml|yaml|py|csv))\b")


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The file that the block is, as its first line says: `# iot-stream.yml`."""
        found = _NAMED.match(self.text)
        return found[1] if found and self.language in ("yaml", "python", "text") else ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All that a reader of the repository may read."""
    return sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")})


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        indent, language, content = match.groups()
        lines = [line.removeprefix(indent) for line in content.splitlines(keepends=True)]
        if not languages or language in languages:
            found.append(Block(page, language, "".join(lines), text.count("\n", 0, match.start()) + 1))
    return found


def everywhere(*languages: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page, *languages)]


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[tuple[str, str]]:
    """(path, anchor) of each link inside the repository; either may be empty."""
    prose = re.sub(r"`[^`\n]*`", "", _prose(page))
    return [(path, anchor or "") for path, anchor in _LINK.findall(prose)]


def anchors(page: Path) -> set[str]:
    """What GitHub, and the site, call the page's headings."""
    taken: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} (.+)$", _prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = taken[name] = taken.get(name, -1) + 1
        if number:
            taken[f"{name}_{number}"] = 0
    return set(taken)
