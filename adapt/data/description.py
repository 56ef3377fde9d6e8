"""How your own images are put into words: the template and the class names, of dataset.yaml or of a caller."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from adapt.data.folders import some
from adapt.data.specs import Strict, Template
from adapt.errors import UserError, nearest
from adapt.runtime import yaml

FILE = "dataset.yaml"
EXPECTED = {
    "template": "a text with one {} for the class name",
    "classes": "names by label or a list of names, all of them texts (put others in quotes)",
}


class Description(Strict):
    """dataset.yaml: the template, and the class names where folders or labels should not serve as such."""

    template: Template
    classes: dict[str | int, str] | list[str] = Field(default_factory=dict)


def read(home: Path) -> Description:
    """The content of dataset.yaml."""
    path = home / FILE
    try:
        values = yaml.parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path} is not a YAML mapping with a template: {' '.join(str(error).split())}") from None
    return parse(values, path)


def parse(values: Any, where: Path | str) -> Description:
    """A description of these values; raises UserError that begins with `where`, where they were given."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is not a YAML mapping with a template: it has {values!r}")
    try:
        return Description.model_validate(dict(values))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"][:1]))
        if problem["type"] == "extra_forbidden":
            raise UserError(f"{where}: {key}: unknown key; {nearest(key, Description.model_fields)}") from None
        expected = EXPECTED.get(key, problem["msg"])
        raise UserError(f"{where}: {key}: {expected}; got {problem['input']!r}") from None


def class_names_for(labels: list[str], described: Description, where: Path | str) -> list[str]:
    """The class names of labels: as the description says, else the label (a folder's name) itself."""
    given = names_given(labels, described, where)
    nameless = next((label for label in labels if label.isdecimal() and label not in given), None)
    if nameless is not None:
        raise UserError(f"{where}: classes: class {nameless} needs a name, since a number says nothing to CLIP")
    names = [given.get(label, label) for label in labels]
    if blank := next((label for label, name in zip(labels, names, strict=True) if not name.strip("_ ")), None):
        raise UserError(f"{where}: classes: class {blank!r} needs a name: it has no letter")
    return names


def names_given(labels: list[str], described: Description, where: Path | str) -> dict[str, str]:
    """Class names by label: a list names all of them in their order; YAML reads a key 001 as the number 1."""
    if isinstance(described.classes, list):
        if len(described.classes) != len(labels):
            raise UserError(
                f"{where}: classes: {len(described.classes)} names for {len(labels)} classes, {some(labels)}; a "
                "list has one for each, in this order"
            )
        return dict(zip(labels, described.classes, strict=True))
    given = {}
    for key, name in described.classes.items():
        equal = [label for label in labels if label.isdecimal() and int(label) == key] if isinstance(key, int) else []
        label = str(key) if str(key) in labels or len(equal) != 1 else equal[0]
        if label not in labels:
            raise UserError(f"{where}: classes: there is no class {label!r}; {nearest(label, labels)}")
        given[label] = name
    return given
