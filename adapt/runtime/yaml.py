"""YAML 1.2, as DVC reads it, by PyYAML: `1e-3` is a number, `no` is a word, and a key that stands twice is refused."""

import re
from typing import Any, ClassVar

import yaml
from yaml import YAMLError
from yaml.constructor import ConstructorError

__all__ = ["YAMLError", "parse"]
TAG = "tag:yaml.org,2002:"
KEPT = (f"{TAG}null", f"{TAG}merge")  # PyYAML's other scalars are those of YAML 1.1
FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
SCALARS = (  # type, pattern, and the characters that it may begin with
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", FLOAT, "-+.0123456789"),
)


def resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's table of scalars by their first character, with those of YAML 1.2."""
    known = yaml.CSafeLoader.yaml_implicit_resolvers
    table = {first: [pair for pair in pairs if pair[0] in KEPT] for first, pairs in known.items()}
    for name, pattern, starts in SCALARS:
        for first in starts:
            table.setdefault(first, []).append((f"{TAG}{name}", re.compile(f"^(?:{pattern})$")))
    return table


def integer(loader: Any, node: Any) -> int:
    """A whole number; `010` is ten."""
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


class Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers = resolvers()
    yaml_constructors: ClassVar = {**yaml.CSafeLoader.yaml_constructors, f"{TAG}int": integer}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping; raises ConstructorError for a key that stands twice, of which PyYAML would keep the last."""
        seen = set()
        for key, _ in node.value:
            if (name := (key.tag, str(key.value))) in seen:
                problem = f"found the key {key.value!r} twice"
                raise ConstructorError("while constructing a mapping", node.start_mark, problem, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse(text: str | bytes) -> Any:
    """The content of a YAML document.

    Raises: YAMLError for what is no YAML, has a key twice or would be no plain data.
    """
    return yaml.load(text, Loader)
