"""The page, in Gradio."""

import importlib.resources
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
from gradio.themes import Default

from adapt.demo import html, provenance
from adapt.demo.comparison import Answer, Comparison
from adapt.errors import UserError

FONTS, MONOSPACED = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # the system's, so none is fetched
LARGEST = "200mb"  # the largest upload
FORGET = 30, 120  # in seconds: the interval of removals, and the age from which pictures are removed
NOTHING = Answer(None, None)
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}  # for events that have no API


def application(comparison: Comparison, measured: Mapping[str, Any] | None) -> fastapi.FastAPI:
    """Return the page and its server, without Gradio's requests to other machines."""
    whole = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    return gr.mount_gradio_app(
        whole, blocks(comparison, measured), "/", root_path="", show_error=False, max_file_size=LARGEST,
        theme=Default(font=FONTS, font_mono=MONOSPACED), css=style(), footer_links=[], run_history=False,
        enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False,
    )  # fmt: skip


def style() -> str:
    """Return the style sheet beside this file."""
    return importlib.resources.files("adapt.demo").joinpath("page.css").read_text(encoding="utf-8")


def blocks(comparison: Comparison, measured: Mapping[str, Any] | None) -> gr.Blocks:
    """Build the parts of the page, and the reaction to a dropped picture."""
    model, title = comparison.tuned, provenance.title(comparison.tuned)
    facts, pocket = provenance.facts(model, measured), provenance.is_pocket(model)
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=FORGET, fill_width=True) as page:
        gr.HTML(html.header(title, facts, pocket=pocket), elem_id="heading")
        with gr.Row(equal_height=True):
            picture = gr.Image(
                label="picture", sources=["upload", "clipboard"], type="filepath", image_mode=None, buttons=[],
                height=380, elem_id="picture",
            )  # fmt: skip
            panels = [gr.HTML(elem_id=name, elem_classes="panel") for name in Answer._fields]
        message = gr.HTML(visible=False, elem_id="message")
        gr.HTML(html.heat_map(model.name, model.lengths()), elem_id="lengths", elem_classes="panel")

        def show(answer: Answer) -> list[str]:
            template = f"“{model.made_from['template']}”"
            tuned = html.bars(model.name, f"fitted to {model.made_from['dataset']}", answer.tuned)
            return [tuned, html.bars("CLIP", f"zero-shot, {template}", answer.zero_shot)]

        def answer(dropped: dict[str, Any]) -> list[Any]:
            try:
                found = comparison.classify(Path(dropped["path"]), dropped["orig_name"] or "the picture")
            except UserError as error:
                return [None, *show(NOTHING), gr.HTML(escape(str(error)), visible=True)]
            return [gr.skip(), *show(found), gr.HTML("", visible=False)]

        for panel, content in zip(panels, show(NOTHING), strict=True):
            panel.value = content
        refuse_addresses(picture)
        # no preprocessing by Gradio, which has no message for a file that is no picture
        picture.upload(answer, picture, [picture, *panels, message], preprocess=False, **HIDDEN)
        picture.clear(lambda: [*show(NOTHING), gr.HTML("", visible=False)], None, [*panels, message], **HIDDEN)
    return page


def refuse_addresses(picture: gr.Image) -> None:
    """Accept files only.

    Otherwise Gradio would fetch a picture whose address a browser sends instead of a file.
    """
    take = picture.async_move_resource_to_block_cache

    async def take_file(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("drop a file, not an address", print_exception=False)
        return await take(url_or_file_path)

    picture.async_move_resource_to_block_cache = take_file
