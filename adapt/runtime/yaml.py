"""YAML 1.2, as DVC reads it, by PyYAML: `1e-3` is a number, `no` is a word, and a key that stands twice is refused."""

import re
from typing import Any

import yaml
from yaml import YAMLError
from yaml.constructor import ConstructorError

__all__ = ["YAMLError", "parse"]
TAG = "tag:yaml.org,2002:"
SCALARS = {  # PyYAML's own are those of YAML 1.1
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """PyYAML's safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's name)
        first: [(tag, pattern) for tag, pattern in pairs if tag in (f"{TAG}null", f"{TAG}merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping; raises ConstructorError for a key that stands twice, of which PyYAML would keep the last."""
        seen = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                raise ConstructorError(
                    "while constructing a mapping", node.start_mark, f"found the key {key.value!r} twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _integer(loader: Loader, node: Any) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _name, (_pattern, _first) in SCALARS.items():
    Loader.add_implicit_resolver(f"{TAG}{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))
Loader.add_constructor(f"{TAG}int", _integer)


def parse(text: str | bytes) -> Any:
    """The content of a YAML document.

    Raises: YAMLError for what is no YAML, stands twice or would be no plain data.
    """
    return yaml.load(text, Loader)
