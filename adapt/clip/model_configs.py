"""open_clip's architecture files, read without importing open_clip.

That import takes seconds.
"""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("model_configs")  # architectures that ship with this package
POCKET = "pocket"  # the one of them that has weights, which ship with it as well

BLOCKS = "has blocks other than open_clip's plain ones"
UNSUPPORTED = {  # settings of a tower that the encoders do not support, and how messages describe such a tower
    "hf_model_name": "is another library's (transformers)",
    "timm_model_name": "is another library's (timm)",
    "no_causal_mask": "is not causal: tokens see later tokens and the padding, so that classes share no prefix",
    "embed_cls": "appends a class token of its own",
    "attentional_pool": "pools by attention",
    "final_ln_after_pool": "applies its last layer norm after pooling",
    "pool_type": "does not pool at its class token (image) or at the token of the highest id (text)",
    "proj_type": "has no linear projection",
    "block_type": BLOCKS,
    "qk_norm": BLOCKS,
    "scaled_cosine_attn": BLOCKS,
    "scale_heads": BLOCKS,
    "scale_attn_inner": BLOCKS,
    "scale_attn": BLOCKS,
    "scale_fc": BLOCKS,
}
DEFAULTS = {
    "text": {"pool_type": "argmax", "proj_type": "linear", "block_type": "default"},
    "image": {"pool_type": "tok", "block_type": "default"},
}


@cache
def config_paths() -> dict[str, Path]:
    """Return the architecture file of each model, open_clip's and this package's."""
    spec = importlib.util.find_spec("open_clip")
    places = (spec and spec.submodule_search_locations) or []
    found: dict[str, Path] = {}
    for root in [*(Path(place) / "model_configs" for place in places), FOLDER]:
        found |= {path.stem: path for path in root.glob("*.json")}
    return found


def list_models() -> list[str]:
    """Return all known model names."""
    return sorted(config_paths())


def canonical_name(name: str) -> str:
    """Return a model's name in open_clip's spelling; OpenAI writes ViT-B/32."""
    return name.replace("/", "-")


def get_model_config(name: str) -> dict[str, Any]:
    """Read the architecture of a model."""
    return json.loads(config_paths()[name].read_text(encoding="utf-8"))


def layers(name: str) -> dict[str, int]:
    """Return the number of layers that accept prompts, by branch.

    It is 0 for a tower that is not a plain open_clip transformer.
    """
    described = get_model_config(name)
    towers = {"text": described["text_cfg"], "image": described["vision_cfg"]}
    return {branch: 0 if tower_mismatch(tower, branch) else tower["layers"] for branch, tower in towers.items()}


def image_size(name: str) -> int:
    """Return the side length of a model's input images, in pixels."""
    found = get_model_config(name)["vision_cfg"].get("image_size", 224)
    return found if isinstance(found, int) else found[0]


def unsupported_reason(name: str) -> str | None:
    """Return why the encoders cannot run a model's text tower; None if they can.

    No method works without the text tower.
    """
    why = tower_mismatch(get_model_config(name)["text_cfg"], "text")
    return f"its text tower {why}" if why else None


def image_tower_mismatch(name: str) -> str | None:
    """Return why a model's image tower takes no prompts or adapters; None if it does."""
    return tower_mismatch(get_model_config(name)["vision_cfg"], "image")


def tower_mismatch(tower: Mapping[str, Any], branch: str) -> str | None:
    """Return why a tower cannot run block by block with prompts; None if it can."""
    for key, value in tower.items():
        if key in UNSUPPORTED and value not in (None, False, DEFAULTS[branch].get(key)):
            return UNSUPPORTED[key]
    if not isinstance(tower.get("layers"), int):
        return "is not a transformer"
    return None
