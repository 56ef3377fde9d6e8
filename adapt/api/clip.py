"""Load a CLIP."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import get_args

from adapt.api.checks import count, expect
from adapt.clip import backbone, model_configs
from adapt.clip.backbone import Backbone, Precision
from adapt.errors import UserError, nearest
from adapt.runtime.packaged import find

WHERE = "adapt.load_clip"
POCKET_WEIGHTS = "models/pocket.safetensors"


def load_clip(
    name: str,
    pretrained: str | Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    text_batch_size: int | None = None,
) -> Backbone:
    """Load a frozen CLIP.

    Args:
        name: open_clip's name of the architecture (`ViT-B-16-quickgelu`; OpenAI's `ViT-B/16` means `ViT-B-16`), or
            `pocket`, the small CLIP that comes with this package: 32 × 32 pixels, icons and characters only.
        pretrained: the weights: a tag of open_clip (`openai`), whose weights are downloaded if they are not cached, or
            the path of a file (.safetensors, .pt, OpenAI's archive). `pocket` has its own weights.
        device: `cpu`, `cuda`, one of several GPUs (`cuda:1`), or `auto`: a GPU if there is one.
        precision: of the towers' matrix products; prompts, features and losses are float32.
        text_batch_size: number of texts encoded at a time, None for all; fewer take less memory and more time.

    Returns:
        The CLIP: `encode_image` [b, 3, y, x] -> [b, f] and `encode_text` [c, s] -> [c, f], neither normalised.

    Raises:
        UserError: for an unknown name (with the nearest), unknown or missing weights, weights of another architecture,
            an encoder that cannot be run with prompts, or a device that does not exist.
    """
    expect(name, str, f"{WHERE}: name", "the name of an architecture")
    expect(pretrained, str | Path | None, f"{WHERE}: pretrained", "a tag or a file")
    expect(device, str, f"{WHERE}: device", "auto, cpu or cuda")
    if text_batch_size is not None:
        count(text_batch_size, f"{WHERE}: text_batch_size")
    if precision not in get_args(Precision):
        raise UserError(f"{WHERE}: precision: unknown {precision!r}; {nearest(precision, get_args(Precision))}")
    name, given = model_configs.canonical_name(name), whole_path(pretrained)
    source = (
        str(find(POCKET_WEIGHTS)) if name == model_configs.POCKET and given in (None, model_configs.POCKET) else given
    )
    if source is None and name in model_configs.config_paths():
        import open_clip

        tags = open_clip.list_pretrained_tags_by_model(name)
        raise UserError(f"{WHERE}: {name}: give its weights: a file, or a tag of {', '.join(tags) or 'none'}")
    try:
        found = backbone.load(name, source or "", device, precision)
    except UserError as error:
        raise UserError(f"{WHERE}: {error}") from None
    found = replace(found, pretrained=given or model_configs.POCKET, text_batch_size=text_batch_size)
    if found.remark:
        warnings.warn(f"{WHERE}: precision: {found.remark}", stacklevel=2)
    return found


def whole_path(pretrained: str | Path | None) -> str | None:
    """Return the absolute path of a file, so that any folder can find it; a tag as is."""
    if pretrained is None:
        return None
    path = Path(pretrained).expanduser()
    return str(path.resolve()) if isinstance(pretrained, Path) or path.is_file() else pretrained
