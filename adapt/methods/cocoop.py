"""CoCoOp (Zhou et al. 2022): a context that is shifted by each image."""

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.clip.encoders import Injection, split_prefix
from adapt.config import Words
from adapt.data.loader import Batch
from adapt.methods._base import Classifier
from adapt.methods._init_words import embed_words, init_words
from adapt.methods._two_tower import TwoTower
from adapt.task import FewShotTask


class CoCoop(TwoTower):
    """A context that starts from `ctx_init`; a small network shifts it per image.

    The network maps an image's feature to a vector that is added to all context tokens. The text is encoded again for
    every image, so steps and evaluation cost images × classes.
    """

    insert_at = 1

    def __init__(self, task: FewShotTask, *, ctx_init: Words, meta_net_reduction: PositiveInt):
        super().__init__(task)
        backbone, ctx_init = task.backbone, init_words(task, ctx_init)
        self.context = nn.Parameter(embed_words(backbone, ctx_init))
        features, width = task.teacher.shape[1], backbone.widths["text"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            self.net = nn.Sequential(
                nn.Linear(features, max(1, features // meta_net_reduction)),
                nn.ReLU(),
                nn.Linear(max(1, features // meta_net_reduction), width),
            ).to(backbone.device)
        tokens = task.tokenize(lambda name: f"{ctx_init} {name}.")
        self.words = split_prefix(backbone.text, tokens, n_ctx=len(self.context))

    def logits(self, seen: Float[Tensor, "b f"]) -> Float[Tensor, "b c"]:
        """Return the logits of each image's feature against the classes, encoded for it."""
        backbone = self.task.backbone
        t = len(self.context)
        contexts = self.context + self.net(seen)[:, None] + backbone.text.positional_embedding[1 : t + 1]
        rest = [None] * (backbone.layers["text"] - 1)
        texts = [backbone.encode_text(self.words, Injection([c, *rest]), insert_at=self.insert_at) for c in contexts]
        text = F.normalize(torch.stack(texts), dim=-1)
        # an einsum would need outer products in the backward pass, for which torch may compile a kernel on a GPU
        return backbone.logit_scale * (seen[:, None] * text).sum(dim=-1)

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the cross-entropy.

        The image tower is frozen, so the teacher's features shift the context.
        """
        cross_entropy = F.cross_entropy(self.logits(batch.teacher), batch.labels)
        return cross_entropy, {"cross_entropy": cross_entropy}

    def classifier(self) -> Classifier:
        """Return the function from images to logits; no part of it is computed before."""
        return lambda images: self.logits(self.image_features(images))

    def lengths(self) -> dict[str, list[int]]:
        """Return the context's length at the first layer of the text branch."""
        found = super().lengths()
        found["text"][0] = len(self.context)
        return found
