"""The page of all params, out of conf/."""

import re
from itertools import groupby
from typing import Any

import yaml

from docs._site import method_pages
from docs._site.settings import Setting, of_params
from docs._site.tables import code, table, text

HEAD = ("key", "type", "paper", "pocket", "what it is, and its source")
INTRO = """# Params

Every setting, with its type, its value in both presets and the comment beside it in `conf/`, from which this page is
generated: `config.yaml` and `pretrain.yaml` hold for both presets, `preset/NAME.yaml` for one, and `method/NAME.yaml`
has the settings of a method. ADAPT's own sections (`prompts`, `prune`, `distill`, `optimizer`) are in
`method/adapt.yaml`, and what the pocket changes of them in `preset/pocket.yaml`.

A mark in brackets names the source of a value. [The method](method.md) explains *stated*, *reported*, *convention* and
*ours*; any other mark is a method's own code, which [the page of that method](methods.md) names.

    dvc exp run -S preset=paper -S shots=8           # compose params.yaml anew, and run
    make preset=paper params                         # write params.yaml, run nothing
    adapt tune FOLDER -o RUN -S optimizer.lr=0.01    # a setting of the method

In Python the sections of a method are keywords: `adapt.fit("adapt", clip, data, prune={"target": 12})`.
"""
METHODS = """## method

The entries of `method`, one for each method. A setting that is missing in an entry is taken from the section of that
name above (`prompts`, `prune`, `distill`, `optimizer`). The overrides of some methods, for certain shots or datasets,
are on their own pages.
"""


def page() -> str:
    """Return the page."""
    parts = [INTRO]
    for section, group in groupby(of_params(), key=lambda setting: setting.key[0] if len(setting.key) > 1 else ""):
        parts.append(f"## {section or 'At the top level'}\n")
        parts.append(show(list(group)))
    parts.append(METHODS)
    for name in method_pages.names():
        parts.append(f"### method.{name}\n\n[`{name}`](methods/{name}.md), from `conf/method/{name}.yaml`.\n")
        settings = method_pages.settings(name)
        parts.append(show(settings, anchors=f"method.{name}.") if settings else "It has no settings of its own.\n")
    return "\n".join(parts)


def show(settings: list[Setting], anchors: str | None = "") -> str:
    """Return settings as a table.

    Args:
        settings: the rows.
        anchors: what precedes the key in a row's anchor; None for no anchors.
    """
    rows = [
        (
            breakable(setting.name) + ("" if anchors is None else f'<span id="{anchors}{setting.name}"></span>'),
            setting.type,
            shown(setting.values.get("paper")),
            shown(setting.values.get("pocket")),
            text(setting.comment),
        )
        for setting in settings
    ]
    return table(HEAD, rows)


def breakable(key: str) -> str:
    """Return a key as code that may be broken after its dots and underscores."""
    return "<code>" + re.sub(r"([._])", r"\1<wbr>", key) + "</code>"


def shown(value: Any) -> str:
    """Return a value as YAML writes it; a long list on lines of its own."""
    if isinstance(value, list) and len(value) > 3 and all(isinstance(item, str) for item in value):
        return "<br>".join(code(item) for item in value)
    return code(yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip())
