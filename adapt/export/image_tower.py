"""The image tower with prompts and adapters folded into constants.

A prompt that only serves as keys and values becomes constant keys and values, with layer norm and projections applied.
Adapters are added to the weights. Prompts that are propagated stay tokens. The results are those of
`encoders.encode_image`, and inference spends no time on the folded parts.

Axis letters as in adapt/clip/encoders.py: b batch, s sequence, t prompt tokens, d width, h heads, e width of a head;
features have width f.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, UInt8
from open_clip import transformer
from torch import Tensor, nn

from adapt.clip import attention
from adapt.clip.backbone import Backbone
from adapt.clip.encoders import NO_INJECTION, Injection, Layer, layers_of


class ImageTower(nn.Module):
    """The image tower from pixels to features, which are not normalised.

    A tower that is not a plain ViT is used as it is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, injection: Injection = NO_INJECTION):
        super().__init__()
        for name, value in zip(("mean", "std"), backbone.mean_std, strict=True):
            self.register_buffer(name, value)
        model, plain = backbone.model, backbone.layers["image"]
        self.encode = FoldedViT(model.visual, injection) if plain else WholeTower(model)

    def forward(self, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b f"]:
        """Compute the features of images that are resized and cropped."""
        return self.encode((pixels.float() / 255 - self.mean) / self.std)


class WholeTower(nn.Module):
    """An image tower of another kind, which no method changes."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model: Any = model

    def forward(self, images: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b f"]:
        """Compute the features of normalised images."""
        return self.model.encode_image(images, normalize=False)


class FoldedViT(nn.Module):
    """A ViT of plain blocks whose output is read at the class token."""

    def __init__(self, visual: nn.Module, injection: Injection):
        super().__init__()
        self.visual: Any = visual
        blocks = (FoldedBlock(layer) for layer in layers_of(visual.transformer, injection))
        self.blocks: Any = nn.ModuleList(blocks)

    def forward(self, images: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b f"]:
        """Compute the features of normalised images."""
        x = self.visual._embeds(images)
        count = x.shape[1]
        for block in self.blocks:
            x = block(x, count)
        return self.visual.ln_post(x[:, 0]) @ self.visual.proj

    def keys_and_values(self) -> dict[int, tuple[Float[Tensor, "h t e"], Float[Tensor, "h t e"]]]:
        """Return the constant keys and values of each layer that has some."""
        return {layer: (block.key, block.value) for layer, block in enumerate(self.blocks) if block.key is not None}

    def propagates(self) -> bool:
        """Return whether prompts go through blocks as tokens."""
        return any(block.tokens is not None for block in self.blocks)

    def has_adapters(self) -> bool:
        """Return whether weights differ from those of the frozen model."""
        return any(block.adapted for block in self.blocks)


class FoldedBlock(nn.Module):
    """A residual block whose input gains constant keys and values, or new tokens."""

    key: Tensor | None  # [h, t, e], as `value`
    value: Tensor | None
    tokens: Tensor | None  # [t, d], propagated to the next layer

    def __init__(self, layer: Layer):
        super().__init__()
        block, prompt = layer.block, layer.new_prompt
        assert layer.bias is None and not isinstance(prompt, attention.Mixture), "both exist in training alone"
        self.heads, self.last = block.attn.num_heads, layer.last
        self.replaces, self.adapted = prompt is not None, layer.adapter is not None
        self.ln_1, self.ln_2, self.ls_1, self.ls_2 = block.ln_1, block.ln_2, block.ls_1, block.ls_2
        self.out_proj, self.c_fc, self.c_proj = block.attn.out_proj, block.mlp.c_fc, block.mlp.c_proj
        self.activation = exportable(block.mlp.gelu)
        self.qkv = projection(layer)
        key = value = tokens = None
        if prompt is not None and len(prompt):
            if layer.propagate:
                tokens = prompt.detach()
            else:
                (_, key, value), _ = attention.project(block, prompt.detach(), [], layer.adapter)
        for name, constant in (("key", key), ("value", value), ("tokens", tokens)):
            self.register_buffer(name, None if constant is None else constant.contiguous())

    def forward(self, x: Float[Tensor, "b s d"], count: int) -> Float[Tensor, "b _ d"]:
        """Return the tokens after the block; after the last block only the class token.

        count: how many of the input's tokens are the image's own; the others are propagated prompts.
        """
        if self.replaces:
            x = x[:, :count]
        if self.tokens is not None:
            x = torch.cat([x, self.tokens.expand(x.shape[0], -1, -1)], dim=1)
        q, k, v = self.qkv(self.ln_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        if self.last:
            x, q = x[:, :1], q[:, :, :1]
        if self.key is not None and self.value is not None:
            k, v = (
                torch.cat([own, new.expand(own.shape[0], -1, -1, -1)], dim=-2)
                for own, new in ((k, self.key), (v, self.value))
            )
        attended = (q @ k.transpose(-1, -2)).softmax(dim=-1) @ v
        x = x + self.ls_1(self.out_proj(attended.transpose(1, 2).flatten(2)))
        return x + self.ls_2(self.c_proj(self.activation(self.c_fc(self.ln_2(x)))))


def projection(layer: Layer) -> nn.Linear:
    """Return the projection to queries, keys and values, the adapter added.

    It also scales the queries by 1/√e.
    """
    attn, adapter = layer.block.attn, layer.adapter
    d = attn.embed_dim
    made = nn.Linear(d, 3 * d)
    with torch.no_grad():
        made.weight.copy_(attn.in_proj_weight)
        made.bias.copy_(attn.in_proj_bias)
        if adapter is not None:
            made.weight += adapter(torch.eye(d)).T
        for parameter in (made.weight, made.bias):
            parameter[:d] /= math.sqrt(d // attn.num_heads)
    return made


def exportable(activation: nn.Module) -> nn.Module:
    """Return an MLP's activation in a form that exporters can handle.

    Our quick-GELU, whose derivative no exporter knows, is replaced by that of open_clip.
    """
    return transformer.QuickGELU() if isinstance(activation, attention.QuickGELU) else activation
