"""ADAPT: adaptive prompt tuning for vision-language models.

The package is a library and a DVC pipeline. The library in four lines:

    clip = adapt.load_clip("pocket")
    data = adapt.load_dataset("digits").few_shot(shots=16, seed=1)
    model = adapt.fit("adapt", clip, data)
    print(adapt.evaluate(model, data.test), model.lengths())

__init__.pyi lists the public names. Each is imported on first access.
"""

from typing import Any

import lazy_loader

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Return a public name, or the installed version for `__version__`."""
    if name != "__version__":
        return _find(name)
    from importlib import metadata

    try:
        return metadata.version("adapt-clip")
    except metadata.PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
