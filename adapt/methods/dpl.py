"""DPL, differentiable prompt learning (Huang et al. 2025).

A continuous relaxation finds the prompt lengths; then prompts of these lengths are tuned.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from adapt.clip.attention import Mixture
from adapt.clip.encoders import Injection
from adapt.data.loader import Batch, FewShotLoader
from adapt.methods._kv_prompts import KeyValuePrompts
from adapt.prompts import BRANCHES, Prompts, uniform_lengths
from adapt.task import FewShotTask


class Dpl(KeyValuePrompts):
    """Searches the lengths of key/value prompts, then tunes prompts of these lengths.

    During the search, the attention of every layer is a mean over prompts of 0 … `max_prompt_length` tokens, weighted
    by the softmax of its α. Updates alternate: α on a val batch (Adam at `alpha_lr`; `alpha_batch_size` images as
    evaluation sees them), then the prompts on a train batch.
    """

    def __init__(
        self,
        task: FewShotTask,
        *,
        max_prompt_length: PositiveInt,
        search_epochs: PositiveInt,
        alpha_lr: PositiveFloat,
        alpha_batch_size: PositiveInt,
        init_std: NonNegativeFloat,
    ):
        layers, widths, device = task.backbone.layers, task.backbone.widths, task.backbone.device
        super().__init__(
            task, Prompts.initialise(uniform_lengths(0, layers), widths, std=init_std, seed=task.seed), distill=None
        )  # the authors' code weights its distillation by 0
        self.max_prompt_length, self.search_epochs, self.alpha_batch_size, self.std = (
            max_prompt_length,
            search_epochs,
            alpha_batch_size,
            init_std,
        )
        generator = torch.Generator().manual_seed(task.seed)
        tokens = max_prompt_length * (max_prompt_length + 1) // 2  # one prompt of every length, as in the authors' code
        start = {"text": torch.rand, "image": torch.randn}  # as in their code; the tuned prompts start as N(0, std²)
        self.search: nn.ParameterDict | None = nn.ParameterDict({
            b: nn.Parameter(start[b](layers[b], tokens, widths[b], generator=generator).to(device)) for b in BRANCHES
        })  # fmt: skip
        alphas = {b: torch.randn(layers[b], max_prompt_length + 1, generator=generator) * 1e-3 for b in BRANCHES}
        self.alphas = {b: alpha.to(device).requires_grad_() for b, alpha in alphas.items()}
        self.adam = torch.optim.Adam(self.alphas.values(), lr=alpha_lr, betas=(0.5, 0.999))
        self.taught = 0

    def phase_epochs(self) -> list[int]:
        """Return the length of the search, the phase before the tuning."""
        return [self.search_epochs]

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Keep the val images for α."""
        self.val = val

    def on_phase_start(self, phase: int) -> None:
        """Create new prompts after the search, of the lengths that α selects."""
        if phase == 1:
            widths, seed = self.task.backbone.widths, self.task.seed
            self.prompts = Prompts.initialise(self.lengths(), widths, self.std, seed).to(self.task.backbone.device)
            self.search = None

    def injection(self, branch: str) -> Injection:
        """Return mixtures during the search, then the prompts."""
        if self.search is None:
            return super().injection(branch)
        sizes = list(range(1, self.max_prompt_length + 1))
        options = [[layer[:0], *layer.split(sizes)] for layer in self.search[branch]]
        weights = self.alphas[branch].softmax(dim=1)
        return Injection([Mixture(o, w) for o, w in zip(options, weights, strict=True)])

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the cross-entropy; during the search, first update α on a val batch."""
        if self.search is not None and torch.is_grad_enabled():
            loss = super().losses(self.val.eval_batch(self.taught, self.alpha_batch_size))[0]
            self.taught += 1
            for alpha, gradient in zip(
                self.alphas.values(), torch.autograd.grad(loss, list(self.alphas.values())), strict=True
            ):
                alpha.grad = gradient
            self.adam.step()
        return super().losses(batch)

    def has_fixed_steps(self) -> bool:
        """Return False during the search, which uses the val images."""
        return self.search is None

    def lengths(self) -> dict[str, list[int]]:
        """Return the most likely lengths during the search, then those found."""
        if self.search is None:
            return super().lengths()
        return {branch: alpha.argmax(dim=1).tolist() for branch, alpha in self.alphas.items()}

    def training_state(self) -> dict[str, Tensor]:
        """Return the prompts or, during the search, the candidates, α and Adam's state."""
        if self.search is None:
            return self.to_tensors()
        state = {f"search.{branch}": tokens.detach().cpu() for branch, tokens in self.search.items()}
        for branch, alpha in self.alphas.items():
            moments = self.adam.state[alpha]
            state |= {f"alpha.{branch}": alpha.detach().cpu()}
            state |= {f"adam.{branch}.{name}": value.cpu() for name, value in moments.items()}
        return state

    @torch.no_grad()
    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue in the phase that the tensors belong to."""
        if "search.text" not in tensors or self.search is None:
            self.load_tensors(tensors)
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

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the tuned prompts, and end the search."""
        super().load_tensors(tensors)
        self.search = None
