"""The frozen backbone: an open_clip model with its tokenizer, its preprocessing and the hash of its weights."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import open_clip
import torch
from jaxtyping import Float, Int, UInt8
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from adapt.clip import attention, encoders, weights
from adapt.clip.encoders import NO_INJECTION, Injection, TextInput
from adapt.errors import UserError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, repr=False)
class Backbone:
    """A frozen CLIP. `weights` is the sha256 of its state dict: artefacts carry it, so that they are not mixed."""

    name: str
    model: Any  # open_clip.CLIP or CustomTextCLIP
    tokenizer: Callable[..., Tensor]  # of texts, and of a context_length where the model's own is not meant
    weights: str
    device: torch.device
    precision: Precision = "float32"  # of the towers' matrix products; prompts, features and losses are float32
    text_batch_size: int | None = None  # texts encoded at a time, None for all: less memory, more time
    pretrained: str | None = None  # where the weights came from, as the caller named it

    def __repr__(self) -> str:
        return f"<{self.name}, weights {self.weights[:12]}, {self.precision} on {self.device}>"

    @property
    def text(self) -> Any:
        """The module that has the text tower's parts: the model itself or, of a CustomTextCLIP, its `text`."""
        return getattr(self.model, "text", self.model)

    @cached_property
    def layers(self) -> dict[str, int]:
        """Number of blocks that prompts can enter by branch; none in an image tower that is not a plain ViT."""
        visual = self.model.visual
        attention = {"text": self.text.transformer.resblocks}
        attention["image"] = visual.transformer.resblocks if takes_prompts(visual) else []
        return {branch: len(found) for branch, found in attention.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Width d of the tokens by branch; 0 where prompts cannot enter."""
        image = self.model.visual.positional_embedding.shape[1] if self.layers["image"] else 0
        return {"text": self.text.positional_embedding.shape[1], "image": image}

    @property
    def image_size(self) -> int:
        """Pixels along an edge of the input images."""
        size = self.model.visual.image_size
        return size if isinstance(size, int) else size[0]

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied with to make logits."""
        return self.model.logit_scale.exp()

    @cached_property
    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [3, 1, 1] of the model's input."""
        config = self.model.visual.preprocess_cfg
        mean, std = (torch.tensor(config[key], device=self.device).reshape(3, 1, 1) for key in ("mean", "std"))
        return mean, std

    @property
    def remark(self) -> str | None:
        """A sentence where the precision costs time rather than saves it."""
        if self.precision == "bfloat16" and self.device.type == "cpu" and not has_bfloat16():
            return "this CPU only emulates bfloat16, which takes it several times as long as float32"
        return None

    def normalise(self, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Pixels as the model takes them, on its device."""
        mean, std = self.mean_std
        return (pixels.to(self.device).float() / 255 - mean) / std

    def encode_text(
        self, text: TextInput, injection: Injection = NO_INJECTION, *, insert_at: int = 0
    ) -> Float[Tensor, "c f"]:
        """Text features, not normalised: see `encoders.encode_text`."""
        with self.autocast():
            found = encoders.encode_text(self.text, text, injection, insert_at=insert_at, chunk=self.text_batch_size)
        return found.float()

    def encode_image(
        self, images: Float[Tensor, "b 3 y x"], injection: Injection = NO_INJECTION
    ) -> Float[Tensor, "b f"]:
        """Image features, not normalised: see `encoders.encode_image`. Without prompts any image tower will do."""
        with self.autocast():
            if injection is NO_INJECTION and not self.layers["image"]:
                return self.model.encode_image(images).float()
            return encoders.encode_image(self.model, images, injection).float()

    def autocast(self) -> torch.autocast:
        """The context in which the towers run: matrix products in bfloat16, if so asked, and sums in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "c s"]:
        """Token numbers, one row a text, on the model's device."""
        return self.tokenizer(list(texts)).to(self.device)


def load(name: str, pretrained: str, device: str) -> Backbone:
    """A frozen backbone by open_clip's name and its weights, an open_clip tag or a file.

    device: "cpu", "cuda" or, for a GPU where there is one, "auto".
    Raises: UserError as `weights.read`, and for a device that is not there; it begins with the argument's name.
    """
    place = torch.device(choose_device(device))
    return replace(freeze(name, weights.read(name, pretrained, place), place), pretrained=pretrained)


def freeze(name: str, model: Any, device: torch.device) -> Backbone:
    """A model as a backbone: evaluation mode, no gradients, and an activation that takes less memory."""
    save_memory(model.eval().requires_grad_(False))
    tokenizer = open_clip.get_tokenizer(name) if name in open_clip.list_models() else open_clip.tokenize
    return Backbone(name, model, tokenizer, weights_hash(model), device)


def save_memory(model: nn.Module) -> None:
    """Replace open_clip's QuickGELU by one that gives the same and keeps less for the backward pass."""
    for module in model.modules():
        for child, activation in module.named_children():
            if isinstance(activation, QuickGELU):
                setattr(module, child, attention.QuickGELU())


def takes_prompts(visual: Any) -> bool:
    """Whether an image tower is a ViT of plain blocks that is read at its class token."""
    return (
        isinstance(visual, VisionTransformer)
        and all(isinstance(block, ResidualAttentionBlock) for block in visual.transformer.resblocks)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.final_ln_after_pool
    )


def weights_hash(model: nn.Module) -> str:
    """sha256 over names and bytes of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def has_bfloat16() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 itself: one that does not takes several times float32's time.

    False where torch is too old to say.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last is Arm's


def choose_device(device: str) -> str:
    """`auto` is a GPU where there is one; raises UserError for a device that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind == "mps":
        raise UserError("device: mps asked for, but a Mac's GPU is not supported; set it to auto or cpu")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device: {device} asked for, but torch sees no GPU; set it to auto or cpu")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UserError(f"device: unknown {device!r}; known: auto, cpu, cuda, cuda:0 …")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"device: {device} asked for, but torch sees {torch.cuda.device_count()} GPUs")
    return device
