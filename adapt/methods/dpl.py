"""DPL, differentiable prompt learning (Huang et al. 2025): lengths by continuous relaxation, then prompts of them."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from adapt.clip.attention import Mixture
from adapt.clip.encoders import Injection
from adapt.data.loader import Batch, Batches
from adapt.methods._kv_prompts import Prompted
from adapt.prompts import BRANCHES, Prompts, uniform_lengths
from adapt.task import FewShotTask


class Dpl(Prompted):
    """Searches the lengths of key/value prompts, then tunes prompts of these lengths.

    While searching, every layer's attention is a mean over prompts of 0 … `longest` tokens, weighted by the softmax of
    its α; val batches teach α (Adam at `alpha_lr`; `alpha_batch` images as evaluation sees them), train batches the
    prompts, in turn.
    """

    def __init__(
        self,
        task: FewShotTask,
        *,
        longest: PositiveInt,
        search_epochs: PositiveInt,
        alpha_lr: PositiveFloat,
        alpha_batch: PositiveInt,
        std: NonNegativeFloat,
    ):
        layers, widths, device = task.backbone.layers, task.backbone.widths, task.backbone.device
        super().__init__(
            task, Prompts.initialise(uniform_lengths(0, layers), widths, std=std, seed=task.seed), distill=None
        )  # the authors' code weighs its distillation with 0
        self.longest, self.search_epochs, self.alpha_batch, self.std = longest, search_epochs, alpha_batch, std
        generator = torch.Generator().manual_seed(task.seed)
        tokens = longest * (longest + 1) // 2  # one prompt of every length, as the authors have it
        start = {"text": torch.rand, "image": torch.randn}  # theirs too; the prompts that count start as N(0, std²)
        self.search: nn.ParameterDict | None = nn.ParameterDict({
            b: nn.Parameter(start[b](layers[b], tokens, widths[b], generator=generator).to(device)) for b in BRANCHES
        })  # fmt: skip
        alphas = {b: torch.randn(layers[b], longest + 1, generator=generator) * 1e-3 for b in BRANCHES}
        self.alphas = {b: alpha.to(device).requires_grad_() for b, alpha in alphas.items()}
        self.adam = torch.optim.Adam(self.alphas.values(), lr=alpha_lr, betas=(0.5, 0.999))
        self.taught = 0

    def phases(self) -> list[int]:
        """The search comes before the tuning."""
        return [self.search_epochs]

    def prepare(self, train: Batches, val: Batches) -> None:
        """Keep the val images for α."""
        self.val = val

    def begin(self, phase: int) -> None:
        """After the search: new prompts, as long at each layer as α says."""
        if phase == 1:
            widths, seed = self.task.backbone.widths, self.task.seed
            self.prompts = Prompts.initialise(self.lengths(), widths, self.std, seed).to(self.task.backbone.device)
            self.search = None

    def stream(self, branch: str) -> Injection:
        """Mixtures while searching, then the prompts."""
        if self.search is None:
            return super().stream(branch)
        sizes = list(range(1, self.longest + 1))
        options = [[layer[:0], *layer.split(sizes)] for layer in self.search[branch]]
        weights = self.alphas[branch].softmax(dim=1)
        return Injection([Mixture(o, w) for o, w in zip(options, weights, strict=True)])

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Cross-entropy; while searching, after a step of α on the next val batch."""
        if self.search is not None and torch.is_grad_enabled():
            loss = super().losses(self.val.centred(self.taught, self.alpha_batch))[0]
            self.taught += 1
            for alpha, gradient in zip(
                self.alphas.values(), torch.autograd.grad(loss, list(self.alphas.values())), strict=True
            ):
                alpha.grad = gradient
            self.adam.step()
        return super().losses(batch)

    def lengths(self) -> dict[str, list[int]]:
        """The likeliest, or those found."""
        if self.search is None:
            return super().lengths()
        return {branch: alpha.argmax(dim=1).tolist() for branch, alpha in self.alphas.items()}

    def progress(self) -> dict[str, Tensor]:
        """The prompts or, while searching, the candidates, α and the state of its optimiser."""
        if self.search is None:
            return self.tensors()
        state = {f"search.{branch}": tokens.detach().cpu() for branch, tokens in self.search.items()}
        for branch, alpha in self.alphas.items():
            moments = self.adam.state[alpha]
            state |= {f"alpha.{branch}": alpha.detach().cpu()}
            state |= {f"adam.{branch}.{name}": value.cpu() for name, value in moments.items()}
        return state

    @torch.no_grad()
    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on in the phase that the tensors are of."""
        if "search.text" not in tensors or self.search is None:
            self.load(tensors)
            return
        for branch, alpha in self.alphas.items():
            self.search[branch].copy_(tensors[f"search.{branch}"])
            alpha.copy_(tensors[f"alpha.{branch}"])
            names = [name for name in tensors if name.startswith(f"adam.{branch}.")]
            self.adam.state[alpha] = {
                name.rsplit(".", 1)[1]: tensors[name].to("cpu" if name.endswith(".step") else alpha.device)
                for name in names
            }
            self.taught = int(tensors[f"adam.{branch}.step"])

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The prompts that were tuned."""
        super().load(tensors)
        self.search = None
