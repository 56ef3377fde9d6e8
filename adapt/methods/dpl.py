"""DPL, differentiable prompt learning (Huang et al. 2025): lengths by continuous relaxation, then prompts of them."""

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

    While searching, every layer's attention is a mean over prompts of 0 … `max_prompt_length` tokens, weighted by the
    softmax of its α; val batches teach α (Adam at `alpha_lr`; `alpha_batch_size` images as evaluation sees them), train
    batches the prompts, in turn.
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
        )  # the authors' code weighs its distillation with 0
        self.max_prompt_length, self.search_epochs, self.alpha_batch_size, self.std = (
            max_prompt_length,
            search_epochs,
            alpha_batch_size,
            init_std,
        )
        generator = torch.Generator().manual_seed(task.seed)
        tokens = max_prompt_length * (max_prompt_length + 1) // 2  # one prompt of every length, as the authors have it
        start = {"text": torch.rand, "image": torch.randn}  # theirs too; the prompts that count start as N(0, std²)
        self.search: nn.ParameterDict | None = nn.ParameterDict({
            b: nn.Parameter(start[b](layers[b], tokens, widths[b], generator=generator).to(device)) for b in BRANCHES
        })  # fmt: skip
        alphas = {b: torch.randn(layers[b], max_prompt_length + 1, generator=generator) * 1e-3 for b in BRANCHES}
        self.alphas = {b: alpha.to(device).requires_grad_() for b, alpha in alphas.items()}
        self.adam = torch.optim.Adam(self.alphas.values(), lr=alpha_lr, betas=(0.5, 0.999))
        self.taught = 0

    def phase_epochs(self) -> list[int]:
        """The search comes before the tuning."""
        return [self.search_epochs]

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Keep the val images for α."""
        self.val = val

    def on_phase_start(self, phase: int) -> None:
        """After the search: new prompts, as long at each layer as α says."""
        if phase == 1:
            widths, seed = self.task.backbone.widths, self.task.seed
            self.prompts = Prompts.initialise(self.lengths(), widths, self.std, seed).to(self.task.backbone.device)
            self.search = None

    def injection(self, branch: str) -> Injection:
        """Mixtures while searching, then the prompts."""
        if self.search is None:
            return super().injection(branch)
        sizes = list(range(1, self.max_prompt_length + 1))
        options = [[layer[:0], *layer.split(sizes)] for layer in self.search[branch]]
        weights = self.alphas[branch].softmax(dim=1)
        return Injection([Mixture(o, w) for o, w in zip(options, weights, strict=True)])

    def losses(self, batch: Batch) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Cross-entropy; while searching, after a step of α on the next val batch."""
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
        """Not while searching, since that looks at the val images."""
        return self.search is None

    def lengths(self) -> dict[str, list[int]]:
        """The likeliest, or those found."""
        if self.search is None:
            return super().lengths()
        return {branch: alpha.argmax(dim=1).tolist() for branch, alpha in self.alphas.items()}

    def training_state(self) -> dict[str, Tensor]:
        """The prompts or, while searching, the candidates, α and the state of its optimizer."""
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
        """Go on in the phase that the tensors are of."""
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
        """The prompts that were tuned."""
        super().load_tensors(tensors)
        self.search = None
