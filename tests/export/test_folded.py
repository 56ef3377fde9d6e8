"""A folded method gives the method's results, with the prompts' computation gone."""

import pytest
import torch

import adapt
from adapt import methods
from adapt.export.folded import Folded
from adapt.export.image_tower import FoldedViT
from tests.export.conftest import DATASETS, REFUSED


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", sorted(set(methods.names()) - REFUSED))
def test_every_method_says_the_same_when_it_is_folded(method, dataset, fit, pixels):
    model = fit(method, dataset)
    expected = model.classify(model.clip.normalise(pixels(dataset))).softmax(dim=1)
    torch.testing.assert_close(Folded(model.method)(pixels(dataset)), expected, atol=1e-5, rtol=0)


def test_method_whose_texts_depend_on_each_image_is_refused(fit):
    with pytest.raises(adapt.UserError, match="cocoop cannot be exported: its texts depend on each image"):
        Folded(fit("cocoop").method)


@pytest.mark.parametrize("method", ["vpt", "ivlp", "maple", "promptsrc"])
@pytest.mark.parametrize("depth", [1, 3])
def test_prompts_that_are_propagated_stay_tokens(method, depth, fit, pixels):
    model = fit(method, depth=depth)
    folded = Folded(model.method)
    expected = model.classify(model.clip.normalise(pixels("digits"))).softmax(dim=1)
    assert folded.tower.encode.propagates()
    torch.testing.assert_close(folded(pixels("digits")), expected, atol=1e-5, rtol=0)


def tower(model: adapt.Model) -> FoldedViT:
    made = Folded(model.method).tower.encode
    assert isinstance(made, FoldedViT)
    return made


def test_keys_and_values_are_as_long_as_the_prompts_that_were_found(fit):
    model = fit("adapt")
    found = tower(model).keys_and_values()
    lengths = [found[layer][0].shape[1] if layer in found else 0 for layer in range(6)]
    assert lengths == model.lengths()["image"]


def test_layer_without_a_prompt_has_no_constants(fit):
    model = fit("random_prune", "phosphor")
    assert set(tower(model).keys_and_values()) == {
        layer for layer, length in enumerate(model.lengths()["image"]) if length
    }


def test_folding_leaves_the_frozen_weights_as_they_are(fit, clip):
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    Folded(fit("clip_lora").method)
    assert all(torch.equal(value, before[name]) for name, value in clip.model.state_dict().items())


def test_method_that_makes_its_logits_in_a_way_of_its_own_is_refused(fit):
    class Odd(type(fit("zero_shot").method)):
        def classifier(self):
            raise AssertionError("is never asked")

    with pytest.raises(adapt.UserError, match="its logits are not cosines between independent embeddings"):
        Folded(Odd(fit("zero_shot").method.task, text="template"))
