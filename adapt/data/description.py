"""The template and class names for your own images, from dataset.yaml or a caller."""

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
    "template": "expected a text with one {} for the class name",
    "classes": "expected names by label or a list of names, all of them texts (put others in quotes)",
}


class Description(Strict):
    """dataset.yaml: the template and, optionally, class names.

    Class names are needed where folder names or labels should not serve as such.
    """

    template: Template
    classes: dict[str | int, str] | list[str] = Field(default_factory=dict)


def read(home: Path) -> Description:
    """Read dataset.yaml."""
    path = home / FILE
    try:
        values = yaml.parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path} is not a YAML mapping with a template: {' '.join(str(error).split())}") from None
    return parse(values, path)


def parse(values: Any, where: Path | str) -> Description:
    """Make a description from these values.

    Raises: UserError whose message begins with `where`, the place that they were given.
    """
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
    """Return the class names of labels.

    A label (a folder's name) that the description does not name is the class name itself.
    """
    given = names_given(labels, described, where)
    nameless = next((label for label in labels if label.isdecimal() and label not in given), None)
    if nameless is not None:
        raise UserError(f"{where}: classes: class {nameless} needs a name, since a number says nothing to CLIP")
    names = [given.get(label, label) for label in labels]
    if blank := next((label for label, name in zip(labels, names, strict=True) if not name.strip("_ ")), None):
        raise UserError(f"{where}: classes: class {blank!r} needs a name: it has no letter")
    return names


def names_given(labels: list[str], described: Description, where: Path | str) -> dict[str, str]:
    """Return the class names that the description gives, by label.

    A list names all labels in order. YAML reads a key 001 as the number 1, so a number also matches a label of the same
    value.
    """
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
