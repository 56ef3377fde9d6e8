"""YAML 1.2, read by PyYAML in the same way as by DVC.

`1e-3` is a number and `no` a string; a duplicate key is refused.
"""

import re
from typing import Any, ClassVar

import yaml
from yaml import YAMLError
from yaml.constructor import ConstructorError

__all__ = ["YAMLError", "parse"]
TAG = "tag:yaml.org,2002:"
KEPT = (f"{TAG}null", f"{TAG}merge")  # PyYAML's other scalars are those of YAML 1.1
FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
SCALARS = (  # type, pattern, and possible first characters
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", FLOAT, "-+.0123456789"),
)


def resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """Return PyYAML's table of scalars, by their first character, for YAML 1.2."""
    known = yaml.CSafeLoader.yaml_implicit_resolvers
    table = {first: [pair for pair in pairs if pair[0] in KEPT] for first, pairs in known.items()}
    for name, pattern, starts in SCALARS:
        for first in starts:
            table.setdefault(first, []).append((f"{TAG}{name}", re.compile(f"^(?:{pattern})$")))
    return table


def integer(loader: Any, node: Any) -> int:
    """Parse an integer; `010` is ten."""
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


class Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers = resolvers()
    yaml_constructors: ClassVar = {**yaml.CSafeLoader.yaml_constructors, f"{TAG}int": integer}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping.

        Raises: ConstructorError for a duplicate key, of which PyYAML would keep the last value.
        """
        seen = set()
        for key, _ in node.value:
            if (name := (key.tag, str(key.value))) in seen:
                problem = f"found the key {key.value!r} twice"
                raise ConstructorError("while constructing a mapping", node.start_mark, problem, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse(text: str | bytes) -> Any:
    """Parse a YAML document.

    Raises: YAMLError for invalid YAML, a duplicate key, or anything but plain data.
    """
    return yaml.load(text, Loader)
