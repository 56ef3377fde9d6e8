"""A fitted method as tensors for plain open_clip, with a JSON that explains them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from adapt.clip.model_configs import POCKET
from adapt.export.check import Run
from adapt.export.facts import Facts
from adapt.export.folded import Folded
from adapt.export.heads import refusal
from adapt.export.image_tower import FoldedViT
from adapt.methods._base import Method
from adapt.runtime.formats import write_json

FILE, ABOUT = "model.safetensors", "model.json"
MEANING = {
    "key.N": "[tokens, 1, width]: additional keys from the prompt in layer N of the image tower",
    "value.N": "[tokens, 1, width]: additional values, both after layer norm and projection",
}
PROMPTS = """
for layer, block in enumerate(model.visual.transformer.resblocks):
    if f"key.{layer}" in tuned:  # further keys and values, which torch appends to a block's own
        block.attn.bias_k = torch.nn.Parameter(tuned[f"key.{layer}"])
        block.attn.bias_v = torch.nn.Parameter(tuned[f"value.{layer}"])"""
USE = """\
import json, open_clip, torch
from PIL import Image
from safetensors.torch import load_file
{config}
model, _, preprocess = open_clip.create_model_and_transforms("{name}", pretrained="{pretrained}")
tuned, model = load_file("model.safetensors"), model.eval(){prompts}
features = model.encode_image(preprocess(Image.open("image.png"))[None], normalize={normalised})
{lines}
print(json.load(open("model.json"))["classes"][logits.argmax()], logits.softmax(dim=-1).max().item())
"""


def check(method: Method, folded: Folded) -> None:
    """Raise UserError for a method that plain open_clip cannot run."""
    tower = folded.tower.encode
    if isinstance(tower, FoldedViT) and tower.has_adapters():
        raise refusal(method, "it changes weights of the image tower; take the format onnx", "as safetensors")
    if isinstance(tower, FoldedViT) and tower.propagates():
        why = "its image prompts go through layers as tokens, which plain open_clip does not support"
        raise refusal(method, f"{why}; take the format onnx", "as safetensors")


def write(folder: Path, folded: Folded, facts: Facts) -> Run:
    """Write the tensors and the JSON, and return a function that computes the same."""
    tensors = prompts(folded) | folded.head.state_dict()
    folder.joinpath(FILE).write_bytes(save({name: value.contiguous() for name, value in tensors.items()}))
    meaning = folded.head.meaning | (MEANING if prompts(folded) else {})
    write_json(folder / ABOUT, {**facts.plain(), "tensors": meaning, "use": use(folded, facts).splitlines()})

    @torch.no_grad()
    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return folded(torch.from_numpy(pixels)).numpy()

    return run


def prompts(folded: Folded) -> dict[str, Float[Tensor, "t 1 d"]]:
    """Return the constant keys and values, as `nn.MultiheadAttention` takes them.

    Only layers that have some are included.
    """
    tower = folded.tower.encode
    found = tower.keys_and_values() if isinstance(tower, FoldedViT) else {}
    return {
        f"{name}.{layer}": constant.transpose(0, 1).flatten(1)[:, None]
        for layer, both in found.items()
        for name, constant in zip(("key", "value"), both, strict=True)
    }


def use(folded: Folded, facts: Facts) -> str:
    """Return the example code that classifies an image with plain open_clip."""
    name, head = facts.made["backbone"], folded.head
    return USE.format(
        config=f'\nopen_clip.add_model_config("{name}.json")' if name == POCKET else "",
        name=name,
        pretrained=facts.pretrained,
        prompts=PROMPTS if prompts(folded) else "",
        normalised=head.normalised,
        lines=head.lines,
    )
