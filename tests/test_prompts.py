"""Prompts: lengths, layers and what is kept."""

import torch

from adapt.prompts import Prompts, uniform_lengths

LAYERS = {"text": 3, "image": 2}
WIDTHS = {"text": 4, "image": 6}


def make(text: list[int], image: list[int], seed: int = 0) -> Prompts:
    return Prompts.initialise({"text": text, "image": image}, WIDTHS, std=0.02, seed=seed)


def test_layers_have_their_lengths():
    prompts = make([2, 0, 3], [1, 4])
    assert [len(tokens) for tokens in prompts.by_layer("text")] == [2, 0, 3]
    assert [len(tokens) for tokens in prompts.by_layer("image")] == [1, 4]


def test_count_is_over_both_branches():
    assert make([2, 0, 3], [1, 4]).count() == 10


def test_same_seed_gives_the_same_tokens():
    assert torch.equal(make([2, 0, 3], [1, 4]).tokens["text"], make([2, 0, 3], [1, 4]).tokens["text"])


def test_first_values_have_the_standard_deviation():
    tokens = Prompts.initialise({"text": [500], "image": [0]}, {"text": 100, "image": 1}, std=0.02, seed=0).tokens
    assert abs(float(tokens["text"].detach().std()) - 0.02) < 2e-4


def test_restored_prompts_are_equal():
    prompts = make([2, 0, 3], [1, 4])
    again = Prompts.from_tensors(prompts.to_tensors(), LAYERS)
    assert again.lengths("text") == [2, 0, 3]
    assert torch.equal(again.tokens["image"], prompts.tokens["image"])


def test_saved_keys_are_tokens_and_slots_of_both_branches():
    assert set(make([1, 0, 0], [0, 0]).to_tensors()) == {"text.tokens", "text.slots", "image.tokens", "image.slots"}


def test_spread_is_even():
    assert uniform_lengths(10, LAYERS) == {"text": [2, 2, 2], "image": [2, 2]}


def test_spread_gives_the_rest_to_the_first_layers_text_first():
    assert uniform_lengths(13, LAYERS) == {"text": [3, 3, 2], "image": [3, 2]}


def test_spread_of_nothing_is_nothing():
    assert uniform_lengths(0, LAYERS) == {"text": [0, 0, 0], "image": [0, 0]}
