"""The frozen backbone: an open_clip model with its tokenizer, its preprocessing and the hash of its weights."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from adapt import architecture
from adapt.errors import UserError


@dataclass(frozen=True)
class Backbone:
    """A frozen CLIP. `weights` is the sha256 of its state dict: artefacts carry it, so that they are not mixed."""

    name: str
    model: Any  # open_clip.CLIP
    tokenizer: Callable[[list[str]], Tensor]
    weights: str
    device: torch.device

    @property
    def layers(self) -> dict[str, int]:
        """Number of blocks by branch."""
        return {"text": len(self.model.transformer.resblocks), "image": len(self.model.visual.transformer.resblocks)}

    @property
    def widths(self) -> dict[str, int]:
        """Width d of the tokens by branch."""
        return {
            "text": self.model.positional_embedding.shape[1],
            "image": self.model.visual.positional_embedding.shape[1],
        }

    @property
    def size(self) -> int:
        """Pixels along an edge of the input images."""
        return self.model.visual.image_size[0]

    @property
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied with to make logits."""
        return self.model.logit_scale.exp()

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [3, 1, 1] of the model's input."""
        config = self.model.visual.preprocess_cfg
        mean, std = (torch.tensor(config[key], device=self.device).reshape(3, 1, 1) for key in ("mean", "std"))
        return mean, std

    def normalise(self, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Pixels as the model takes them, on its device."""
        mean, std = self.moments
        return (pixels.to(self.device).float() / 255 - mean) / std

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "c s"]:
        """Token numbers, one row a text, on the model's device."""
        return self.tokenizer(list(texts)).to(self.device)


def load(name: str, pretrained: str, device: str) -> Backbone:
    """A frozen backbone by open_clip's name and its weights, an open_clip tag or a file.

    Raises: UserError for weights that are missing, broken or of another architecture, and for towers that the
        encoders do not cover.
    """
    place = torch.device(choose_device(device))
    if architecture.files()[name].parent == architecture.MODELS:
        open_clip.add_model_config(architecture.files()[name])
    if "/" in pretrained and not Path(pretrained).is_file():
        raise UserError(
            f"params.yaml: backbone.pretrained: there is no file {pretrained}; give a file or an open_clip tag"
        )
    try:
        model = open_clip.create_model(name, pretrained=pretrained, device=place, precision="fp32")
    except Exception as error:  # what torch raises on a broken file is not listed anywhere
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(
            f"params.yaml: backbone.pretrained: cannot load {pretrained} as weights of {name} ({reason}); "
            "give weights of that architecture, or the name that belongs to them in backbone.name"
        ) from None
    return freeze(name, model, place)


def freeze(name: str, model: Any, device: torch.device) -> Backbone:
    """A model as a backbone: evaluation mode, no gradients, and only if the encoders cover its towers."""
    visual = model.visual
    plain = hasattr(model, "transformer") and hasattr(visual, "transformer") and hasattr(visual, "_embeds")
    if not plain or visual.attn_pool is not None or visual.pool_type != "tok" or visual.final_ln_after_pool:
        raise UserError(
            f"params.yaml: backbone.name: {name} has a tower that prompts cannot enter; "
            "give a ViT CLIP with open_clip's own text tower, such as ViT-B-16-quickgelu"
        )
    model.eval().requires_grad_(False)
    tokenizer = open_clip.get_tokenizer(name) if name in open_clip.list_models() else open_clip.tokenize
    return Backbone(name, model, tokenizer, weights_hash(model), device)


def weights_hash(model: nn.Module) -> str:
    """sha256 over names and bytes of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def choose_device(device: str) -> str:
    """`auto` is a GPU where there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: runtime.device: cuda asked for, but torch sees no GPU; set it to auto or cpu")
    return device
