"""The predictions of saliency criteria, and the true effects of removal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from scipy.stats import spearmanr

from adapt import pruning
from adapt.config import Config, DistillConfig, PromptsConfig, PruneConfig, SGDConfig
from adapt.errors import UserError
from adapt.methods.adapt import Adapt
from adapt.settings import resolution
from adapt.settings.composition import compose
from adapt.training import token_effects
from adapt.training.trainer import train

STEPS = 6  # two an epoch


def sections(criterion: str = "snip", **changed) -> dict:
    prune = {"criterion": criterion, "data": "train", "warmup": 1, "every": 2, "count": 2, "target": 4} | changed
    return {
        "prompts": PromptsConfig(initial_length=2, ctx_init=None, init_std=0.02),
        "prune": PruneConfig(**prune),
        "distill": DistillConfig(kind="angular", text=1.0, image=1.0),
    }


def config(optimizer: SGDConfig, **changed) -> Config:
    return resolution.schema("adapt").model_validate({**sections(**changed), "optimizer": optimizer})


@pytest.fixture
def optimizer() -> SGDConfig:
    return SGDConfig(**YAML(typ="safe").load(compose([]))["optimizer"])


@pytest.mark.parametrize("criterion", ["gate", "snip", "gradient", "magnitude", "random"])
def test_scores_are_those_that_the_method_prunes_by(criterion, task, batches, optimizer):
    measured = token_effects.measure(task, {"train": batches, "val": batches}, config(optimizer), shots=16)
    record = train(Adapt(task, **sections(criterion)), batches, optimizer, steps=STEPS)
    first = [row["score"] for row in record.trace if row["step"] == record.trace[0]["step"]]
    lowest = measured.scores[criterion].sort().values
    assert first == pytest.approx(lowest[: len(first)].tolist(), rel=1e-3) and len(first) >= 2


def test_effect_is_the_loss_without_the_token(task, batches):
    method, whole = token_effects.AllCriteria(task, **sections()), Adapt(task, **sections())
    found, tokens = token_effects.leave_one_out(method, batches), whole.prompts.count()
    assert len(found) == tokens
    batch = replace(batches, batch_size=11).batch(0, 0)
    for place in (0, tokens - 1):
        shorter = Adapt(task, **sections())
        sgd = torch.optim.SGD(shorter.parameters(), lr=0.1)
        list(pruning.remove(shorter.prompts, sgd, torch.tensor([place]), torch.zeros(tokens)))
        truth = shorter.losses(batch)[0] - whole.losses(batch)[0]
        assert float(found[place]) == pytest.approx(float(truth.detach()), abs=2e-6)


def test_agreement_is_of_ranks():
    effects = torch.tensor([0.3, -0.2, 0.1, 0.05])
    scores = {"snip": torch.tensor([9.0, 4.0, 3.0, 1.0]), "random": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    snip, random = token_effects.rank_correlations(token_effects.TokenEffects(scores, effects))
    assert (snip["criterion"], snip["tokens"], snip["size"]) == ("snip", 4, 1.0)
    assert snip["effect"] == pytest.approx(spearmanr([9, 4, 3, 1], [0.3, -0.2, 0.1, 0.05]).statistic)
    assert random["size"] == pytest.approx(np.corrcoef([1, 2, 3, 4], [4, 3, 2, 1])[0, 1])


def test_without_pruning_nothing_is_measured(task, batches, optimizer):
    with pytest.raises(UserError, match="adapt removes no token under these settings"):
        token_effects.measure(task, {"train": batches, "val": batches}, config(optimizer, target=100), shots=16)
