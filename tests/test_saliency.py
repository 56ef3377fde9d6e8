"""Saliency: each criterion equals its formula; the gate predicts the true effect."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adapt.config import DistillConfig, PromptsConfig, PruneConfig
from adapt.methods.adapt import Adapt
from adapt.prompts import Prompts
from adapt.saliency import CRITERIA, Saliency
from adapt.task import FewShotTask
from adapt.training.teacher_features import embed_classes
from tests.conftest import CLASSES, small_clip

NO_DISTILLATION = DistillConfig(kind="none", text=0.0, image=0.0)


def make_adapt(task, criterion: str, length: int = 4, std: float = 0.02, data: str = "train") -> Adapt:
    prune = PruneConfig(criterion=criterion, data=data, warmup=0, every=1000, count=1, target=0)
    prompts = PromptsConfig(initial_length=length, ctx_init=None, init_std=std)
    return Adapt(task, prompts=prompts, prune=prune, distill=NO_DISTILLATION)


def observe(method: Adapt, batch, step: int = 1) -> None:
    method.zero_grad()
    method.losses(batch)[0].backward()
    method.on_after_backward(step)


@pytest.fixture
def batch(batches):
    return next(batches(0))


def expected(criterion: str, tokens: torch.Tensor) -> torch.Tensor:
    gradient = tokens.grad
    assert gradient is not None
    return {
        "snip": (tokens * gradient).sum(dim=1).abs(),
        "gradient": gradient.square().sum(dim=1).sqrt(),
        "magnitude": tokens.square().sum(dim=1).sqrt(),
    }[criterion]


@pytest.mark.parametrize("criterion", ["snip", "gradient", "magnitude"])
def test_criterion_is_its_formula(criterion, task, batch):
    method = make_adapt(task, criterion)
    observe(method, batch)
    both = torch.cat([expected(criterion, method.prompts.tokens[branch]) for branch in ("text", "image")])
    torch.testing.assert_close(method.saliency.scores(), both.detach())


def test_scores_add_up_over_steps(task, batch):
    method = make_adapt(task, "gradient")
    observe(method, batch, 1)
    once = method.saliency.scores().clone()
    observe(method, batch, 2)
    torch.testing.assert_close(method.saliency.scores(), 2 * once)


def test_reset_forgets(task, batch):
    method = make_adapt(task, "gradient")
    observe(method, batch)
    method.saliency.reset()
    assert method.saliency.scores().count_nonzero() == 0


@pytest.mark.parametrize("criterion", ["snip", "gate"])
def test_bilevel_scores_are_those_of_a_val_batch(criterion, task, batches, batch):
    """And the gradient that the optimizer uses stays the training batch's."""
    by_val, by_train = make_adapt(task, criterion, data="val"), make_adapt(task, criterion)
    by_val.on_fit_start(batches, batches)
    other = batches.batch(0, 1)
    observe(by_val, batch, step=2)
    observe(by_train, other)
    torch.testing.assert_close(by_val.saliency.scores(), by_train.saliency.scores())
    gradient = by_val.prompts.tokens["text"].grad.clone()
    by_val.zero_grad()
    by_val.losses(batch)[0].backward()
    torch.testing.assert_close(by_val.prompts.tokens["text"].grad, gradient)


def test_random_scores_depend_on_seed_and_step_alone(task, batch):
    scores = []
    for _ in range(2):
        method = make_adapt(task, "random")
        observe(method, batch, step=7)
        scores.append(method.saliency.scores())
    assert torch.equal(*scores)


def test_random_scores_differ_between_steps(task, batch):
    method = make_adapt(task, "random")
    observe(method, batch, 1)
    once = method.saliency.scores().clone()
    observe(method, batch, 2)
    assert not torch.allclose(method.saliency.scores(), 2 * once)


def test_gates_leave_the_loss_as_it_is(task, batch):
    gated, plain = (make_adapt(task, criterion).losses(batch)[0] for criterion in ("gate", "snip"))
    torch.testing.assert_close(gated, plain)


def test_gate_is_the_derivative_of_a_factor_on_the_attention_weight(task, batch):
    """m·exp(q·k) at m = 1, by finite differences in float64."""
    method = make_adapt(task, "gate")
    observe(method, batch)
    place, small = 5, 1e-2
    losses = []
    for factor in (1 + small, 1 - small):
        bias = torch.zeros(len(method.prompts.tokens["text"]))
        bias[place] = np.log(factor)
        method.gates = lambda branch, bias=bias: bias if branch == "text" else None
        losses.append(method.losses(batch)[0])
    slope = (losses[0] - losses[1]) / (2 * small)
    assert float(slope.detach().abs()) == pytest.approx(float(method.saliency.scores()[place]), rel=2e-2)


def removal_effects(method: Adapt, batch) -> np.ndarray:
    """The true change of loss when each token alone is removed."""
    n = {branch: len(tokens) for branch, tokens in method.prompts.tokens.items()}
    effects = []
    with torch.no_grad():
        whole = method.losses(batch)[0]
        for branch, count in n.items():
            for place in range(count):
                biases = {name: torch.zeros(size) for name, size in n.items()}
                biases[branch][place] = float("-inf")
                method.gates = biases.get
                effects.append(float(method.losses(batch)[0] - whole))
    return np.abs(effects)


def test_gate_predicts_the_true_effect_of_removal(batches, record_property):
    """On a CLIP whose residual stream is large beside one block's output.

    Trained CLIPs are like that. If a single token is a large share of the stream, no criterion of first order predicts
    the effect.
    """
    backbone = small_clip(residual=30.0)
    task = FewShotTask(
        backbone, "a photo of a {}.", CLASSES, embed_classes(backbone, CLASSES, ["a photo of a {}."]), seed=1
    )
    batch = next(replace(batches, batch_size=11)(0))
    correlations = {}
    for criterion in ("gate", "snip"):
        method = make_adapt(task, criterion)
        observe(method, batch)
        scores = method.saliency.scores().numpy()
        correlations[criterion] = np.corrcoef(scores, removal_effects(method, batch))[0, 1]
    record_property("correlation with true removal", ", ".join(f"{k} {v:.5f}" for k, v in correlations.items()))
    assert correlations["gate"] >= 0.99


def test_every_criterion_the_params_is_there():
    from typing import get_args

    from adapt.config import Criterion

    assert set(CRITERIA) == set(get_args(Criterion))


def test_branch_without_tokens_has_no_scores():
    prompts = Prompts.initialise({"text": [0], "image": [2]}, {"text": 4, "image": 4}, std=1.0, seed=0)
    saliency = Saliency(prompts, "magnitude", seed=0)
    prompts.tokens["image"].sum().backward()
    saliency.accumulate(1, saliency.gradients())
    assert len(saliency.scores()) == 2
