"""Links out of docs/: their targets are copied into the site, below files/.

The repository has no public address that a page could link to. A file of Markdown becomes a page, any other file is
copied as it is.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLDER = "files"  # of the copies, in the site
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")  # whose links are checked although no page may lead to them
LINK = re.compile(r"(?<=\]\()(?![a-z+]+:|#)([^)\s#]+)")
ATTRIBUTE = re.compile(r'(?:href|src)="(?![a-z+]+:|#)([^"#]+)')


def uri(path: Path) -> str:
    """Return the path in the site's sources of a file of the repository."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return (PurePosixPath(FOLDER) / path.relative_to(ROOT).as_posix()).as_posix()


def path_of(source: str) -> Path:
    """Return the file that a path in the site's sources means; inverts `uri`."""
    inside = PurePosixPath(source)
    return ROOT / inside.relative_to(FOLDER) if inside.parts[0] == FOLDER else DOCS / inside


def target(link: str, page: Path) -> Path | None:
    """Return the repository's file that a relative link leads to, or None."""
    found = Path(*(page.parent / unquote(link)).parts)
    found = Path(re.sub(r"/\.(?=/|$)", "", str(found))).resolve()
    return found if found.is_file() and found.is_relative_to(ROOT) else None


def links(text: str, page: Path) -> Iterator[Path]:
    """Yield the files outside docs/ that a page links to."""
    for link in (ATTRIBUTE if page.suffix == ".html" else LINK).findall(text):
        found = target(link, page)
        if found and not found.is_relative_to(DOCS):
            yield found


def linked(pages: Mapping[str, str]) -> list[Path]:
    """Return the files outside docs/ that pages link to, directly or by another.

    Args:
        pages: the text of each page by its path in the site's sources.
    """
    found = dict.fromkeys(ROOT / name for name in PAGES)
    waiting = [(path.read_text(encoding="utf-8"), path) for path in found]
    waiting += [(text, path_of(source)) for source, text in pages.items()]
    while waiting:
        for path in links(*waiting.pop()):
            if path not in found:
                found[path] = None
                if path.suffix in (".md", ".html"):
                    waiting.append((path.read_text(encoding="utf-8"), path))
    return list(found)


def copy_as_they_are(site: Path) -> None:
    """Copy the Markdown files that copied HTML links to, beside their pages."""
    for page in (site / FOLDER).rglob("*.html"):
        source = ROOT / page.relative_to(site / FOLDER)
        for path in links(page.read_text(encoding="utf-8"), source) if source.is_file() else []:
            if path.suffix == ".md":
                shutil.copy(path, site / uri(path))


def rewrite(text: str, source: str, page: Path | None = None) -> str:
    """Return a page whose links to the repository's files are links in the site.

    Args:
        text: the page's Markdown.
        source: the page's path in the site's sources.
        page: the file that the links start from, where that is another one.
    """
    start = page or path_of(source)

    def replace(match: re.Match[str]) -> str:
        found = target(match[1], start)
        return get_relative_url(uri(found), source) if found else match[1]

    return LINK.sub(replace, text)
