"""How much the shared-prefix encoders save in a tuning step, against the plain version with 77 positions a class.

ViT-B/16 with random weights, batch 4; forward, loss and backward of both towers with 8 key/value tokens a layer.
Both versions give the same loss (asserted first) and are timed in turn, so that a drift of the machine hits both.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F

from adapt.encoders import Stream, encode_image, encode_text, split_shared
from tests import plain

CLASSES = (10, 100)
REPEATS = 3
BATCH = 4
LENGTH = 8


def loss_of(model: Any, image: Tensor, text: Tensor) -> Tensor:
    logits = model.logit_scale.exp() * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    return F.cross_entropy(logits, torch.arange(len(image)))


def seconds(step: Callable[[], Tensor], prompts: list[Tensor]) -> float:
    start = time.perf_counter()
    step().backward()
    for prompt in prompts:
        prompt.grad = None
    return time.perf_counter() - start


def compare(model: Any, count: int) -> float:
    """The plain step's time over the library's: the median of the ratios of neighbouring runs."""
    words = ["spotted", "tall", "quick", "old", "grey", "red", "new", "small", "wild", "round"]
    names = [f"{words[i % 10]} {words[i // 10 % 10]} thing {i}" for i in range(count)]
    tokens = open_clip.tokenize([f"a photo of a {name}." for name in names])
    text, images = split_shared(model, tokens), torch.randn(BATCH, 3, 224, 224)
    sides = {"text": 512, "image": 768}
    prompts = {side: [(torch.randn(LENGTH, d) * 0.02).requires_grad_() for _ in range(12)] for side, d in sides.items()}

    def ours() -> Tensor:
        seen = encode_image(model, images, Stream(prompts["image"]))
        return loss_of(model, seen, encode_text(model, text, Stream(prompts["text"])))

    def reference() -> Tensor:
        seen = plain.encode_image(model, images, prompts["image"])
        return loss_of(model, seen, plain.encode_text(model, tokens, prompts["text"]))

    torch.testing.assert_close(ours(), reference(), rtol=1e-5, atol=1e-5)
    every = [*prompts["text"], *prompts["image"]]
    return statistics.median(seconds(reference, every) / seconds(ours, every) for _ in range(REPEATS))


def main() -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).eval().requires_grad_(False)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, ViT-B/16 with random weights, batch {BATCH}")
    print("classes  plain step / this library's step")
    for count in CLASSES:
        print(f"{count:7d}  {compare(model, count):.1f}")


if __name__ == "__main__":
    main()
