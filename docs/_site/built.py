"""Check the built site: no link is broken, and no page fetches a remote file."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
SCHEMES = ("http", "https", "mailto")


class Links(HTMLParser):
    """The links, fetched files and anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = {"", "__comments"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from an element."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if (name := FETCHED.get(tag)) and name in given:
            self.fetched.add(given[name])


def problems(site: Path) -> Iterator[str]:
    """Yield a sentence for each broken link, bad address and remote file."""
    site = site.resolve()
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for page, found in pages.items():
        if page.name == "404.html":  # for a server alone, at whose root its links start
            continue
        name = page.relative_to(site)
        for link in sorted(found.links | found.fetched):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in found.fetched and parts.scheme != "data":
                    yield f"{name} fetches {link}"
                elif link in found.links and not well_formed(link):
                    yield f"{name}: {link} is no address"
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file() or not target.is_relative_to(site):
                yield f"{name}: there is no {link}"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: there is no such anchor: {link}"


def well_formed(address: str) -> bool:
    """Return whether an address has a known scheme and a host, and no blank."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    host = parts.scheme == "mailto" or "." in (parts.hostname or "") or parts.hostname in ("localhost", "127.0.0.1")
    return parts.scheme in SCHEMES and host and not any(letter.isspace() for letter in address)
