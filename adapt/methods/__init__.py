"""The methods, one file and one class each: `coop.py` holds the method `coop`."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from adapt.methods._base import Method
    from adapt.task import FewShotTask


_registered: dict[str, "type[Method]"] = {}  # by name, for this process: methods from outside this package


def register(name: str, made: "type[Method]") -> None:
    """Add or replace a method from outside this package (`adapt.register_method`)."""
    _registered[name] = made


def is_registered(name: str) -> bool:
    """Return whether a method comes from outside this package."""
    return name in _registered


def names() -> list[str]:
    """Return the names of all methods, from their file names, and of registered ones."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted({*(name for name in files if not name.startswith("_")), *_registered})


def find(name: str) -> "type[Method]":
    """Return the class of a method, which is imported or registered."""
    if name in _registered:
        return _registered[name]
    module = importlib.import_module(f"{__name__}.{name}")
    classes = [item for _, item in inspect.getmembers(module, inspect.isclass) if item.__module__ == module.__name__]
    assert len(classes) == 1, f"{module.__file__} has to define one class, the method"
    made: Any = classes[0]
    return made


def arguments(made: "type[Method]") -> dict[str, Any]:
    """Return the keyword arguments of a method's constructor, with their types.

    Arguments that it passes on as `**` are included.
    """
    found: dict[str, Any] = {}
    for kind in (kind for kind in made.__mro__ if "__init__" in vars(kind)):
        hints = get_type_hints(kind.__init__, include_extras=True)
        parameters = inspect.signature(kind.__init__).parameters.values()
        found = {p.name: hints[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def build(name: str, task: "FewShotTask", settings: Mapping[str, Any]) -> "Method":
    """Build a method for a task from the settings that its constructor names.

    The optimizer's settings are for `fit`.
    """
    made = find(name)
    wanted = arguments(made)
    return made(task, **{key: value for key, value in settings.items() if key in wanted})
