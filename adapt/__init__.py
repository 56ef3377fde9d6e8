"""ADAPT: adaptive prompt tuning for vision-language models, as a library and a DVC pipeline.

    clip = adapt.load_clip("pocket")
    data = adapt.load_dataset("digits").few_shot(shots=16, seed=1)
    model = adapt.fit("adapt", clip, data)
    print(adapt.evaluate(model, data.test), model.lengths())

The public names stand in __init__.pyi, in one list; each is imported when it is first asked for.
"""

from typing import Any

import lazy_loader

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A public name, or the version as it was installed."""
    if name != "__version__":
        return _find(name)
    from importlib import metadata

    try:
        return metadata.version("adapt-clip")
    except metadata.PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
