"""The built site: its links, in a headless Chromium its layout at two widths, and its search without a server."""

import fcntl
import os
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from docs._site import built, outside

ROOT = Path(__file__).parents[2]
WIDTHS = (1280, 390)

WIDE = """() => {
    const found = [], root = document.documentElement
    if (root.scrollWidth > root.clientWidth) found.push(`${root.scrollWidth} pixels`)
    for (const table of document.querySelectorAll("article table")) {
        let box = table
        while (box && !/auto|scroll/.test(getComputedStyle(box).overflowX)) box = box.parentElement
        if (table.getBoundingClientRect().right > root.clientWidth && !box) found.push(`a table: ${table.innerText}`)
    }
    return found
}"""


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` does; once for all processes of a session."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "site"
    with (base / "site.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
            environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
            assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr + done.stdout
    return folder


def pages(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


@pytest.mark.slow
def test_site_has_no_broken_link_and_fetches_nothing(site):
    assert len(pages(site)) > 40 and not list(built.problems(site))


class Counts(HTMLParser):
    """How many elements of a kind the article of a page has."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.inside = Counter[str](), False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list):
        self.inside |= tag == "article"
        self.found[tag] += self.inside

    def handle_endtag(self, tag: str):
        self.inside &= tag != "article"


@pytest.mark.slow
def test_lists_tables_and_code_are_those_that_github_shows(site):
    """A list right below a paragraph, for one, is a list there and not for the site's Markdown."""
    kinds = {"li": ("list_item_open",), "tr": ("tr_open",), "pre": ("fence", "code_block")}
    for path in [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in outside.PAGES)]:
        if path.name != "api.md":  # mostly docstrings
            tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
            page = (site / outside.uri(path)).with_suffix(".html")
            page = page.with_name("index.html") if path.name == "README.md" else page
            found = Counts(page.read_text(encoding="utf-8")).found
            wanted = {kind: sum(token.type in types for token in tokens) for kind, types in kinds.items()}
            assert {kind: found[kind] for kind in kinds} == wanted, path.name


@pytest.mark.slow
def test_no_page_is_wider_than_its_window(site, browser):
    page, wide = browser.new_page(), []
    page.route("**/search/**", lambda route: route.abort())  # the index, which every page loads
    for path in pages(site):
        if outside.path_of(path.relative_to(site).as_posix()).is_file():  # a copy of HTML has a layout of its own
            continue
        page.goto(path.as_uri())
        page.add_style_tag(content="* { transition: none !important }")  # else the drawer is measured on its way
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wide += [f"{path.relative_to(site)} at {width}: {what}" for what in page.evaluate(WIDE)]
    page.close()
    assert not wide


@pytest.mark.slow
@pytest.mark.parametrize("words", ["saliency", "per_gpu", "prune.target"])
def test_search_works_without_a_server(words: str, site, browser):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type(words)
    page.wait_for_selector(".md-search-result__link")
    assert any(
        words.split(".")[-1] in found.lower() for found in page.locator(".md-search-result__item").all_inner_texts()
    )
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "colours"), [("light", "default"), ("dark", "slate")])
def test_colours_follow_the_system(scheme: str, colours: str, site, browser):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.wait_for_function(f"document.body.dataset.mdColorScheme === '{colours}'")
    context.close()


def test_what_is_wrong_with_a_site_is_said(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html">1</a><a href="c.html#here">2</a><a href="c.html#there">3</a><a href="https://x y/">4</a>'
        '<a href="https://example.org/x">5</a><a href="../outside.html">6</a><img src="https://example.org/i.png">',
        encoding="utf-8",
    )
    (tmp_path / "c.html").write_text('<p id="here">', encoding="utf-8")
    assert list(built.problems(tmp_path)) == [
        "a.html: there is no ../outside.html",
        "a.html: there is no b.html",
        "a.html: there is no such anchor: c.html#there",
        "a.html fetches https://example.org/i.png",
        "a.html: https://x y/ is no address",
    ]
