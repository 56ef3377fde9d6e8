"""MkDocs hooks: generated pages, links that leave docs/, a check of the site."""

import logging
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pymdownx import slugs

from docs._site import built, command_pages, method_pages, outside, param_pages

LOG = logging.getLogger("mkdocs.hooks.adapt")  # below mkdocs', so that --strict counts its warnings

SEARCHED = ("files/CONTRIBUTING.md", "files/models/pocket.md")


def generated() -> dict[str, str]:
    """Return the text of every generated page by its path in docs/."""
    methods = {f"methods/{name}.md": method_pages.page(name) for name in method_pages.names()}
    return {
        "params.md": param_pages.page(),
        "cli.md": command_pages.page(),
        "add_method.md": method_pages.tutorial(),
        **methods,
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add a page for each method to the navigation; make anchors as GitHub does."""
    (section,) = [entry["Methods"] for entry in config.nav or [] if "Methods" in entry]
    section += [{name: f"methods/{name}.md"} for name in method_pages.names()]
    config.mdx_configs["toc"]["slugify"] = slugs.slugify(case="lower")  # in mkdocs.yml it would take a tag of Python's
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the files outside docs/ that some page links to."""
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()}
    texts = generated()
    for path, text in texts.items():
        files.append(File.generated(config, path, content=text))
    for path in outside.linked(pages | texts):
        copy = File.generated(
            config, outside.uri(path), abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV
        )  # said here, since MkDocs leaves out folders such as .github
        files.append(copy)
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Rewrite the links that leave docs/; leave most copies out of the search."""
    if page.file.src_uri.startswith(f"{outside.FOLDER}/") and page.file.src_uri not in SEARCHED:
        page.meta["search"] = {"exclude": True}
    return outside.rewrite(markdown, page.file.src_uri)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Warn of every broken link of the built site and of every remote file."""
    outside.copy_as_they_are(Path(config.site_dir))
    for problem in built.problems(Path(config.site_dir)):
        LOG.warning(problem)
