"""A method of one's own in the library."""

import pytest
import torch
from pydantic import NonNegativeFloat
from torch import nn
from torch.nn import functional as F

import adapt
from adapt import methods
from adapt.settings import resolution

SETTINGS = {"optimizer": {"lr": 0.1, "batch_size": 8, "epochs": 2}, "teacher": {"views": 1}}


class Shift(adapt.TwoTower):
    """A learned shift of every class embedding."""

    def __init__(self, task: adapt.FewShotTask, *, strength: NonNegativeFloat):
        super().__init__(task)
        self.strength = strength
        self.shift = nn.Parameter(torch.zeros_like(task.handcrafted))

    def text_features(self) -> torch.Tensor:
        """Return the shifted class embeddings."""
        return F.normalize(self.task.handcrafted + self.strength * self.shift, dim=-1)


class Wide(Shift):
    """Another method of the same name."""

    def __init__(self, task: adapt.FewShotTask, *, width: NonNegativeFloat):
        super().__init__(task, strength=width)


@pytest.fixture
def shift(monkeypatch):
    monkeypatch.setattr(methods, "_registered", {})
    adapt.register_method("shift", Shift)
    yield "shift"
    resolution.schema.cache_clear()


def test_registered_method_is_listed(shift):
    assert shift in adapt.list_methods()


def test_registered_method_is_fitted_saved_and_loaded(shift, clip, data, tmp_path):
    model = adapt.fit(shift, clip, data, progress=False, strength=1.0, **SETTINGS)
    model.save(tmp_path / "run")
    images = data.test[:20]
    assert torch.equal(adapt.load(tmp_path / "run", clip).logits(images), model.logits(images))
    assert model.method.shift.abs().max() > 0


def test_settings_of_a_registered_method_are_checked(shift, clip, data):
    with pytest.raises(adapt.UserError, match="strength: expected greater than or equal to 0, got -1"):
        adapt.fit(shift, clip, data, progress=False, strength=-1, **SETTINGS)


def test_method_that_is_registered_again_is_the_new_one(shift, clip, data):
    with pytest.raises(adapt.UserError, match="unknown key"):
        adapt.fit(shift, clip, data, progress=False, width=1.0, **SETTINGS)
    adapt.register_method(shift, Wide)
    assert adapt.fit(shift, clip, data, progress=False, width=1.0, **SETTINGS).config.width == 1.0


@pytest.mark.parametrize(
    ("name", "made", "message"),
    [
        ("coop", Shift, "adapt.register_method: coop is a method of this package; choose another name"),
        ("my method", Shift, "adapt.register_method: name: expected an identifier such as my_method, got 'my method'"),
        ("mine", nn.Linear, "adapt.register_method: method: expected a subclass of Method, got "),
    ],
)
def test_what_cannot_be_registered_is_refused(name, made, message):
    with pytest.raises(adapt.UserError) as caught:
        adapt.register_method(name, made)
    assert str(caught.value).startswith(message)


def test_every_token_has_a_score_of_each_criterion_and_an_effect(clip, data):
    """The 36 tokens at the start."""
    quick = {"optimizer": {"epochs": 7}, "prune": {"warmup": 1}, "teacher": {"views": 1}}
    found = adapt.token_effects(clip, data, **quick)
    assert {len(scores) for scores in found.scores.values()} == {len(found.effects)} == {36}
    assert (
        set(found.scores) == {"snip", "gate", "gradient", "magnitude", "random"} and found.effects.unique().numel() > 30
    )
