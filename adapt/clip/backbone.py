"""The frozen backbone: an open_clip model, its tokenizer and its preprocessing."""

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

from adapt.clip import attention, compiling, encoders, weights
from adapt.clip.encoders import NO_INJECTION, Injection, TextInput
from adapt.errors import UserError

Precision = Literal["float32", "bfloat16"]
PRODUCTS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)  # modules whose parameters autocast would cast


@dataclass(frozen=True, repr=False)
class Backbone:
    """A frozen CLIP.

    `weights` is the sha256 of its state dict. Artefacts record it, so that those of different weights are not mixed.
    """

    name: str
    model: Any  # open_clip.CLIP or CustomTextCLIP
    tokenizer: Callable[..., Tensor]  # of texts; context_length overrides the model's own
    weights: str
    device: torch.device
    precision: Precision = "float32"  # of the towers' matrix products; prompts, features and losses are float32
    text_batch_size: int | None = None  # texts encoded at a time, None for all; fewer take less memory, more time
    compile: bool = False  # compile the functions of the encoders where gradients are needed
    pretrained: str | None = None  # where the weights came from, as the caller named it

    def __repr__(self) -> str:
        return f"<{self.name}, weights {self.weights[:12]}, {self.precision} on {self.device}>"

    @property
    def text(self) -> Any:
        """The module with the text tower: `text` of a CustomTextCLIP, else the model."""
        return getattr(self.model, "text", self.model)

    @cached_property
    def layers(self) -> dict[str, int]:
        """Number of blocks that accept prompts, by branch.

        The image branch has 0 unless its tower is a plain ViT.
        """
        visual = self.model.visual
        attention = {"text": self.text.transformer.resblocks}
        attention["image"] = visual.transformer.resblocks if takes_prompts(visual) else []
        return {branch: len(found) for branch, found in attention.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Width d of the tokens by branch; 0 where no block accepts prompts."""
        image = self.model.visual.positional_embedding.shape[1] if self.layers["image"] else 0
        return {"text": self.text.positional_embedding.shape[1], "image": image}

    @property
    def image_size(self) -> int:
        """Side length of the input images, in pixels."""
        size = self.model.visual.image_size
        return size if isinstance(size, int) else size[0]

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """CLIP's logit scale: logits are cosines times this factor."""
        return self.model.logit_scale.exp()

    @cached_property
    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [3, 1, 1] of the model's input."""
        config = self.model.visual.preprocess_cfg
        mean, std = (torch.tensor(config[key], device=self.device).reshape(3, 1, 1) for key in ("mean", "std"))
        return mean, std

    @property
    def run(self) -> compiling.Run:
        """The function that calls the encoders' functions: uncompiled or compiled."""
        return compiling.compiled if self.compile else compiling.as_it_is

    @property
    def remark(self) -> str | None:
        """A warning if the precision costs time instead of saving it, else None."""
        if self.precision == "float32" or has_bfloat16(self.device):
            return None
        kind = "CPU" if self.device.type == "cpu" else "GPU"
        return f"this {kind} only emulates bfloat16, which takes several times as long as float32"

    def normalise(self, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Normalise pixels for the model, on its device."""
        mean, std = self.mean_std
        return (pixels.to(self.device, non_blocking=True).float() / 255 - mean) / std

    def encode_text(
        self, text: TextInput, injection: Injection = NO_INJECTION, *, insert_at: int = 0
    ) -> Float[Tensor, "c f"]:
        """Return text features, not normalised; see `encoders.encode_text`."""
        with self.autocast():
            found = encoders.encode_text(
                self.text, text, injection, insert_at=insert_at, chunk=self.text_batch_size, run=self.run
            )
        return found.float()

    def encode_image(
        self, images: Float[Tensor, "b 3 y x"], injection: Injection = NO_INJECTION
    ) -> Float[Tensor, "b f"]:
        """Return image features, not normalised; see `encoders.encode_image`.

        Without prompts, any image tower works.
        """
        with self.autocast():
            if injection is NO_INJECTION and not self.layers["image"]:
                return self.model.encode_image(images).float()
            return encoders.encode_image(self.model, images, injection, run=self.run).float()

    def autocast(self) -> torch.autocast:
        """Return the autocast context in which the towers run.

        With precision bfloat16, matrix products are in bfloat16 and sums in float32.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def to(self, device: torch.device) -> "Backbone":
        """Move the model to a device and return the backbone there.

        Raises: RuntimeError if torch cannot use the device.
        """
        return replace(self, model=self.model.to(device), device=device)

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "c s"]:
        """Return token ids, one row per text.

        They are on the CPU, where the starts and ends of texts are computed.
        """
        return self.tokenizer(list(texts))


def load(name: str, pretrained: str, device: str, precision: Precision = "float32") -> Backbone:
    """Load a frozen backbone by its open_clip name and its weights.

    pretrained: an open_clip tag or a file.
    device: "cpu", "cuda" or "auto", which is a GPU if there is one.
    Raises: UserError as `weights.read`, and for a missing device. The message begins with the argument's name.
    """
    place = torch.device(choose_device(device))
    frozen = replace(freeze(name, weights.read(name, pretrained, place), place), pretrained=pretrained)
    return hold_in(frozen, precision)


def freeze(name: str, model: Any, device: torch.device) -> Backbone:
    """Return a model as a frozen backbone: evaluation mode and no gradients.

    Its QuickGELU is replaced by one that takes less memory.
    """
    save_memory(model.eval().requires_grad_(False))
    tokenizer = open_clip.get_tokenizer(name) if name in open_clip.list_models() else open_clip.tokenize
    return Backbone(name, model, tokenizer, weights_hash(model), device)


def hold_in(backbone: Backbone, precision: Precision) -> Backbone:
    """Return the backbone with a precision, its frozen matrices cast to it in place.

    Autocast would cast them again in every step, to the same numbers. The hash stays that of the float32 weights.
    """
    if precision == "bfloat16":
        for parameter in matrices(backbone):
            parameter.data = parameter.data.bfloat16()
    return replace(backbone, precision=precision)


def matrices(backbone: Backbone) -> list[nn.Parameter]:
    """Return the parameters to cast, of the towers that `encoders` runs.

    These are the weights and biases of their matrix products, their output projections, and the class and positional
    embeddings of the image tower.
    """
    text, visual = backbone.text, backbone.model.visual
    towers = [text.transformer, text.text_projection]
    if backbone.layers["image"]:
        towers += [visual, visual.proj, visual.class_embedding, visual.positional_embedding]
    found = []
    for part in towers:
        if isinstance(part, nn.Parameter):
            found.append(part)
        elif part is not None:
            products = (module for module in part.modules() if isinstance(module, PRODUCTS))
            found += [parameter for module in products for parameter in module.parameters(recurse=False)]
    return found


def save_memory(model: nn.Module) -> None:
    """Replace open_clip's QuickGELU by an equal one that saves less for backward."""
    for module in model.modules():
        for child, activation in module.named_children():
            if isinstance(activation, QuickGELU):
                setattr(module, child, attention.QuickGELU())


def takes_prompts(visual: Any) -> bool:
    """Return whether an image tower is a plain ViT, pooled at its class token."""
    return (
        isinstance(visual, VisionTransformer)
        and all(isinstance(block, ResidualAttentionBlock) for block in visual.transformer.resblocks)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.final_ln_after_pool
    )


def weights_hash(model: nn.Module) -> str:
    """Return the sha256 over names and bytes of all weights, in order of their names."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 matrices natively.

    A device that emulates it takes several times as long as with float32. False for a CPU if torch is too old to tell.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # from Ampere on
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last is Arm's


def choose_device(device: str) -> str:
    """Return the device; `auto` is a GPU if there is one.

    Raises: UserError for a missing device.
    """
    # device_count asks NVML: asking CUDA would initialise it, and a process forked afterwards could not use a GPU
    gpus = torch.cuda.device_count()
    if device == "auto":
        return "cuda" if gpus else "cpu"
    kind, _, number = device.partition(":")
    if kind == "mps":
        raise UserError("device: mps asked for, but a Mac's GPU is not supported; set it to auto or cpu")
    if kind == "cuda" and not gpus:
        raise UserError(f"device: {device} asked for, but torch sees no GPU; set it to auto or cpu")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UserError(f"device: unknown {device!r}; known: auto, cpu, cuda, cuda:0 …")
    if kind == "cuda" and int(number or 0) >= gpus:
        raise UserError(f"device: {device} asked for, but torch sees {gpus} GPUs")
    return device
