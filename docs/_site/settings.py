"""The settings of conf/ with their comments and types."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from adapt.config import PRESETS
from adapt.pipeline.params import Params

CONF = Path(__file__).parents[2] / "conf"
ADAPT = CONF / "method/adapt.yaml"  # the sections that several methods share
Key = tuple[str, ...]


class Entry(NamedTuple):
    """A key of a YAML file: its place, its value, and the comments on it."""

    key: Key
    value: Any
    comment: str


class Setting(NamedTuple):
    """A param: its value by preset, its type in words, and its comments."""

    key: Key
    values: dict[str, Any]
    type: str
    comment: str

    @property
    def name(self) -> str:
        """The key as `-S` takes it."""
        return ".".join(self.key)


# ---- YAML and its comments


@cache
def entries(path: Path) -> list[Entry]:
    """Return every key of a file with its value; one by preset counts as one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    node = yaml.compose("\n".join(lines), yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode), path
    return list(walk(node, lines, (), first=node.value[0][0].start_mark.line))


def walk(node: yaml.MappingNode, lines: list[str], above: Key, first: int = -1) -> Iterator[Entry]:
    """Yield the entries of a mapping; comments before line `first` are the file's own."""
    for key, value in node.value:
        name = (*above, key.value)
        nested = isinstance(value, yaml.MappingNode) and value.value and not by_preset(value) and not value.flow_style
        if nested:
            yield from walk(value, lines, name)
        elif key.value != "overrides":
            over = "" if key.start_mark.line == first else comment_above(lines, key.start_mark.line)
            yield Entry(name, construct(value), f"{over} {comment_behind(lines, key, value)}".strip())


def by_preset(value: yaml.Node) -> bool:
    """Return whether a value is `{paper: X, pocket: Y}`."""
    return isinstance(value, yaml.MappingNode) and {key.value for key, _ in value.value} == set(PRESETS)


def construct(node: yaml.Node) -> Any:
    """Return the value of a node."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def comment_above(lines: list[str], line: int) -> str:
    """Return the comment on the lines right above a line, at its indentation."""
    indent = len(lines[line]) - len(lines[line].lstrip(" -"))
    found: list[str] = []
    while line and re.match(rf" {{{indent}}}#", lines[line - 1]):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(found)


def comment_behind(lines: list[str], key: yaml.Node, value: yaml.Node) -> str:
    """Return the comment behind a value, or behind its key if it is on more lines."""
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    mark = key.end_mark if block else value.end_mark
    found = re.match(r"\s*:?\s*#\s*(.*)", lines[mark.line][mark.column :])
    return found[1].strip() if found else ""


class Override(NamedTuple):
    """An entry of `overrides:`: when it holds, what it sets, and its comment."""

    when: dict[str, list[Any]]
    sets: dict[str, Any]
    comment: str


def overrides(path: Path, method: str) -> list[Override]:
    """Return the overrides of a method in its file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    root = yaml.compose("\n".join(lines), yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    own = [found for key, entry in root.value if key.value == method for found in entry.value]
    return [override(item, lines) for key, listed in own if key.value == "overrides" for item in listed.value]


def override(node: yaml.MappingNode, lines: list[str]) -> Override:
    """Return one override with the comments behind it or behind its lines."""
    given = construct(node)
    when = {name: given.pop(name) for name in ("presets", "shots", "datasets") if name in given}
    behind = [comment_behind(lines, key, value) for key, value in node.value]
    if node.flow_style:
        behind = [comment_behind(lines, node, node)]
    return Override(when, dict(flatten(given)), " ".join(filter(None, behind)))


def flatten(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their keys in full."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def head(path: Path) -> list[str]:
    """Return the lines of the comment at the head of a file, but for Hydra's."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


# ---- types in words


def field_type(model: type[BaseModel], key: Key, values: Mapping[str, Any]) -> str:
    """Return the type of a key in words.

    Args:
        model: the settings that the key is one of.
        key: the key in full.
        values: the values of its section, by which the optimizer's fields are told apart.
    """
    name, *rest = key
    field = model.model_fields[name]
    if not rest:
        return in_words(field.annotation, field.metadata)
    parts = [part for part in members(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    if rest[0] == "name" and len(parts) > 1:
        return " or ".join(in_words(part.model_fields["name"].annotation) for part in parts)
    chosen = [
        part for part in parts
        if len(parts) == 1 or values.get("name") in get_args(part.model_fields["name"].annotation)
    ]  # fmt: skip
    return field_type(chosen[0], tuple(rest), values)


def members(kind: Any) -> tuple[Any, ...]:
    """Return the types that a union is of; one type as it is."""
    if get_origin(kind) is Annotated:
        return members(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


PLAIN = {str: "text", int: "integer", float: "number", bool: "`true` or `false`", NoneType: "`null`"}


def in_words(kind: Any, constraints: list[Any] | None = None) -> str:
    """Return a type in words."""
    found = [bound for item in constraints or [] for bound in getattr(item, "metadata", [item])]
    origin = get_origin(kind)
    if origin is Annotated:
        return in_words(get_args(kind)[0], [*get_args(kind)[1:], *found])
    if origin is Literal:
        return " or ".join(f"`{str(item).lower() if isinstance(item, bool) else item}`" for item in get_args(kind))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(in_words(part, found) for part in get_args(kind)))
    if origin is list:
        (item,) = get_args(kind)
        two = any(getattr(bound, "max_length", None) == 2 for bound in found)
        return f"{'two' if two else 'list'} of: {in_words(item)}"
    word = PLAIN.get(kind, "mapping")
    return f"{word} {bounds(found, whole=kind is int)}".strip() if kind in (int, float) else word


def bounds(constraints: list[Any], whole: bool) -> str:
    """Return the bounds of a number, the lower first; of whole numbers > 0 is ≥ 1."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        (name, getattr(item, name)) for name in signs for item in constraints if getattr(item, name, None) is not None
    ]
    return ", ".join(
        f"≥ {value + 1}" if whole and name == "gt" else f"{signs[name]} {value:g}" for name, value in found
    )


# ---- settings


def value(given: Any, preset: str) -> Any:
    """Return the value of a preset."""
    return given[preset] if isinstance(given, Mapping) and set(given) == set(PRESETS) else given


def of_params() -> list[Setting]:
    """Return every param but the entries of `method`, in the order of conf/."""
    values: dict[Key, dict[str, Any]] = {}
    comments: dict[Key, dict[str, str]] = {}
    sources = [(CONF / "config.yaml", PRESETS), (ADAPT, PRESETS), (CONF / "pretrain.yaml", PRESETS)]
    sources += [(CONF / f"preset/{preset}.yaml", (preset,)) for preset in PRESETS]
    for path, presets in sources:
        for entry in entries(path):
            if entry.key[0] not in ("defaults", "method"):
                for preset in presets:
                    values.setdefault(entry.key, {})[preset] = value(entry.value, preset)
                    comments.setdefault(entry.key, {})[preset] = entry.comment
    return [
        Setting(key, found, field_type(Params, key, section(values, key)), join(comments[key]))
        for key, found in sorted(values.items(), key=lambda item: order(item[0]))
    ]


def order(key: Key) -> tuple[bool, int]:
    """Return the place of a key: first those without a section, then by section."""
    return len(key) > 1, list(Params.model_fields).index(key[0])


def section(values: Mapping[Key, Mapping[str, Any]], key: Key) -> dict[str, Any]:
    """Return the paper's values of the section that a key is in."""
    return {other[-1]: found.get("paper") for other, found in values.items() if other[:-1] == key[:-1]}


def join(comments: Mapping[str, str]) -> str:
    """Return the comments of both presets as one; each is named where they differ."""
    found = {preset: comment for preset, comment in comments.items() if comment}
    if len(set(found.values())) < 2:
        return next(iter(found.values()), "")
    return "; ".join(f"{preset}: {comment}" for preset, comment in found.items())
