"""What open_clip's architecture files say, read without importing open_clip (which takes seconds)."""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("model_configs")  # architectures that ship with this package
POCKET = "pocket"  # the one of them that has weights, which ship with it as well

BLOCKS = "has blocks other than open_clip's plain ones"
UNSUPPORTED = {  # settings of a tower that the encoders do not follow, and what they mean
    "hf_model_name": "is another library's (transformers)",
    "timm_model_name": "is another library's (timm)",
    "no_causal_mask": "is not causal: words see those after them, also the padding, so that classes share nothing",
    "embed_cls": "ends in a class token of its own",
    "attentional_pool": "pools by attention",
    "final_ln_after_pool": "does not end in its class token",
    "pool_type": "is not read at its class token (image) or at the token of the highest number (text)",
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
    """Architecture file by model name: open_clip's own and this package's."""
    spec = importlib.util.find_spec("open_clip")
    places = (spec and spec.submodule_search_locations) or []
    found: dict[str, Path] = {}
    for root in [*(Path(place) / "model_configs" for place in places), FOLDER]:
        found |= {path.stem: path for path in root.glob("*.json")}
    return found


def list_models() -> list[str]:
    """All model names that can be asked for."""
    return sorted(config_paths())


def canonical_name(name: str) -> str:
    """A model's name as open_clip spells it: OpenAI writes ViT-B/32."""
    return name.replace("/", "-")


def get_model_config(name: str) -> dict[str, Any]:
    """The architecture of a model."""
    return json.loads(config_paths()[name].read_text(encoding="utf-8"))


def layers(name: str) -> dict[str, int]:
    """Layers per branch; a branch whose tower is not a plain open_clip transformer has none to prompt."""
    described = get_model_config(name)
    towers = {"text": described["text_cfg"], "image": described["vision_cfg"]}
    return {branch: 0 if tower_mismatch(tower, branch) else tower["layers"] for branch, tower in towers.items()}


def image_size(name: str) -> int:
    """Pixels along an edge of a model's images."""
    found = get_model_config(name)["vision_cfg"].get("image_size", 224)
    return found if isinstance(found, int) else found[0]


def unsupported_reason(name: str) -> str | None:
    """Why the encoders cannot run a model's text tower, without which no method works; None where they can."""
    why = tower_mismatch(get_model_config(name)["text_cfg"], "text")
    return f"its text tower {why}" if why else None


def image_tower_mismatch(name: str) -> str | None:
    """Why nothing can be put into the layers of a model's image tower; None where it can."""
    return tower_mismatch(get_model_config(name)["vision_cfg"], "image")


def tower_mismatch(tower: Mapping[str, Any], branch: str) -> str | None:
    """What keeps a tower from being run block by block with prompts; None for nothing."""
    for key, value in tower.items():
        if key in UNSUPPORTED and value not in (None, False, DEFAULTS[branch].get(key)):
            return UNSUPPORTED[key]
    if not isinstance(tower.get("layers"), int):
        return "is no transformer"
    return None
