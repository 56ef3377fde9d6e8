"""Tip-Adapter-F (Zhang et al. 2022): Tip-Adapter with the cache's keys tuned."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.data.loader import Batch, FewShotLoader
from adapt.methods.tip_adapter import TipAdapter
from adapt.pruning import PrunedToken


class TipAdapterF(TipAdapter):
    """Tip-Adapter with trained keys.

    The keys are trained with the initial alpha and beta, which are searched afterwards. The authors' code keeps the
    epoch that is best on the test images; here the last epoch is kept.
    """

    trainable = True

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Fill the cache; keep the initial alpha and beta."""
        first = self.mix.clone()
        super().on_fit_start(train, val)
        self.mix = first.to(self.mix.device)

    def put(self, name: str, value: Tensor) -> None:
        """Replace a part of the cache; the keys become a trained parameter."""
        if name == "keys":
            self._buffers.pop("keys", None)
            value = nn.Parameter(value)
        super().put(name, value)

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the cross-entropy on the views' frozen features; no image is encoded."""
        cross_entropy = F.cross_entropy(self.logits(batch.teacher, self.frozen_text), batch.labels)
        return cross_entropy, {"cross_entropy": cross_entropy}

    def on_fit_end(self, optimizer: torch.optim.Optimizer) -> list[PrunedToken]:
        """Search for alpha and beta with the trained keys."""
        self.search()
        return []
