"""Contrastive pre-training of the pocket CLIP on icons and characters.

The model is open_clip's own. During training it has only the tokens in use and only the positions that captions reach.
Afterwards `expand` puts its rows into the full-size architecture.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from open_clip import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from adapt.clip.backbone import Precision, save_memory
from adapt.pretraining.augment import Pictures
from adapt.runtime import files, signals
from adapt.runtime.checkpoint import Checkpoint

LOG_EVERY = 50  # steps per row of the log
MOST_SCALE = math.log(100)  # CLIP's upper bound of the logit scale, a logarithm
STD = 0.01  # of open_clip's initial text positions
Model = Any  # an open_clip.CLIP; type checkers cannot tell its modules from its tensors


class Schedule(NamedTuple):
    """The number of steps and the learning rate.

    The rate rises to `lr` in `warmup` steps, and falls in the last `decay` steps.
    """

    steps: int
    lr: float
    warmup: int
    decay: int

    def rate(self, step: int) -> float:
        """Return the learning rate at a step (from 0).

        Before the decay it does not depend on `steps`.
        """
        return self.lr * min((step + 1) / self.warmup, 1.0, (self.steps - step) / self.decay)


def build(config: dict[str, Any], length: int, vocabulary: int, seed: int) -> Model:
    """Create a model of an open_clip architecture with another context and vocabulary."""
    torch.manual_seed(seed)
    text = config["text_cfg"] | {"context_length": length, "vocab_size": vocabulary}
    model = CLIP(config["embed_dim"], config["vision_cfg"], text, quick_gelu=config.get("quick_gelu", False))
    save_memory(model)
    return model


def expand(model: Model, vocabulary: list[int], config: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights in the full-size architecture.

    Tokens that training did not see are zeros; positions that it did not reach have initial noise.
    """
    text = config["text_cfg"]
    tokens = torch.zeros(text["vocab_size"], text["width"])
    tokens[vocabulary] = model.token_embedding.weight.detach()
    positions = torch.randn(text["context_length"], text["width"], generator=torch.Generator().manual_seed(0)) * STD
    positions[: model.context_length] = model.positional_embedding.detach()
    return model.state_dict() | {"token_embedding.weight": tokens, "positional_embedding": positions}


def go_on(model: Model, vocabulary: list[int], weights: dict[str, Tensor]) -> None:
    """Load weights of the full-size architecture into a model that `build` made.

    Tokens that these weights never saw keep their initial values.
    """
    tokens = weights["token_embedding.weight"][vocabulary].float()
    seen = tokens.any(1, keepdim=True)
    state = {
        "token_embedding.weight": torch.where(seen, tokens, model.token_embedding.weight.detach()),
        "positional_embedding": weights["positional_embedding"][: model.context_length],
    }
    model.load_state_dict(weights | state)


def encode_text(model: Model, tokens: Tensor) -> Tensor:
    """Encode texts as `CLIP.encode_text` would, without the cost of padding.

    The tokens [b, s] are padded to the context. They are encoded in four parts sorted by length, each part only up to
    its longest text.
    """
    order = tokens.argmax(-1).argsort(stable=True)
    encoded = [_encode_part(model, part[:, : int(part.argmax(-1).max()) + 1]) for part in tokens[order].chunk(4)]
    return torch.cat(encoded)[order.argsort()]


def _encode_part(model: Model, tokens: Tensor) -> Tensor:
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    ends = model.ln_final(x[torch.arange(len(x)), tokens.argmax(-1)])
    return ends @ model.text_projection


def contrast(images: Tensor, texts: Tensor, scale: Tensor, positive: Tensor) -> Tensor:
    """Compute CLIP's symmetric cross-entropy of features [b, d].

    `positive` [b, b] tells which texts are true of which images; the positives of a row or column share its target
    evenly.
    """
    logits = scale.exp() * F.normalize(images.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).T
    target = positive.float()
    by_image = -(target / target.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_text = -(target / target.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (by_image + by_text) / 2


def groups(model: Model, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups for AdamW.

    Matrices have weight decay; gains, biases, the logit scale and embeddings do not.
    """
    plain = {id(p) for name, p in model.named_parameters() if p.ndim < 2 or "embedding" in name}
    return [
        {"params": [p for p in model.parameters() if id(p) not in plain], "weight_decay": decay},
        {"params": [p for p in model.parameters() if id(p) in plain], "weight_decay": 0.0},
    ]


def loss_of(model: Model, images: Tensor, tokens: Tensor, positive: Tensor, precision: Precision) -> Tensor:
    """Compute the loss of one batch of `Pictures`.

    Matrix products are in `precision`, the rest in float32. Attention is not fused: for sequences this short, the
    backward pass of the fused CPU kernels takes most of a step.
    """
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"), sdpa_kernel(SDPBackend.MATH):
        seen, read = model.encode_image((images - mean) / std), encode_text(model, tokens)
    return contrast(seen, read, model.logit_scale, positive)


def train(
    model: Model,
    pictures: Pictures,
    schedule: Schedule,
    checkpoint: Checkpoint,
    *,
    batch: dict[str, int],
    weight_decay: float,
    clip: float,
    seed: int,
    precision: Precision,
    bar: Callable[[Iterable[int]], Iterable[int]],
) -> list[dict[str, int | float]]:
    """Train `model` in place, resuming from the checkpoint if there is one.

    A step's batch depends only on seed and step, so a run that was killed and resumed equals one that was not.

    Returns:
        The log: a row for every `LOG_EVERY` steps, with the mean loss and the seconds since the row before.
    """
    optimizer = torch.optim.AdamW(groups(model, weight_decay), betas=(0.9, 0.98), eps=1e-6, fused=True)
    state = checkpoint.load() or {"step": 0, "log": [], "losses": []}
    if state["step"]:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    log, losses, since = state["log"], state["losses"], time.perf_counter()

    def save(step: int) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        checkpoint.save({**state, "log": log, "losses": losses})

    def advance(step: int) -> None:
        nonlocal losses, since
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        torch.manual_seed(seed * 1_000_003 + step)
        drawn = pictures.batch(np.random.default_rng((seed, step)), batch, model.visual.image_size[0])
        loss = loss_of(model, *drawn, precision)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        model.logit_scale.data.clamp_(max=MOST_SCALE)
        losses.append(loss.item())
        if (step + 1) % LOG_EVERY == 0:
            scale, seconds = model.logit_scale.exp().item(), time.perf_counter() - since
            row = {"step": step + 1, "lr": schedule.rate(step), "loss": float(np.mean(losses)), "scale": scale}
            log.append(row | {"seconds": round(seconds, 3)})
            losses, since = [], time.perf_counter()

    with signals.deferred():
        for step in bar(range(state["step"], schedule.steps)):
            advance(step)
            if signals.stop_requested() or checkpoint.should_save():
                save(step + 1)
            signals.check_stop()
    return log


def draw_log(log: list[dict[str, int | float]], path: Path) -> None:
    """Plot the loss over the steps into a PNG file."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in log], [row["loss"] for row in log])
    axes.set(xlabel="step", ylabel="loss", title="Pre-training of the pocket CLIP", ylim=(0, None))
    axes.grid(alpha=0.3)
    with files.atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
