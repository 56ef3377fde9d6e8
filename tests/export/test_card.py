"""The card reports the known facts, and no others."""

import pytest
import yaml
from huggingface_hub import ModelCard

from adapt.export import card
from adapt.export.facts import Facts

MADE = {
    "preset": "paper", "backbone": "ViT-B-16-quickgelu", "pretrained": "openai", "weights": "a" * 64,
    "precision": "float32", "dataset": "birds", "template": "a photo of a {}.", "classes": ["wren", "robin"],
    "method": "adapt", "seed": 3,
}  # fmt: skip
METRICS = {
    **{key: MADE[key] for key in ("preset", "backbone", "weights", "dataset", "method", "seed")},
    "shots": 16, "split": "test", "accuracy": 0.875, "images": 40, "zero_shot": 0.5,
}  # fmt: skip
LENGTHS = {"text": [2, 0], "image": [0, 3]}


def facts(metrics=METRICS, **made) -> Facts:
    return Facts({**MADE, **made}, metrics, LENGTHS, 224)


def head(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_head_is_what_hubs_read():
    data = ModelCard(card.write(facts())).data
    (result,) = data.eval_results or []
    assert (result.metric_value, result.dataset_name, result.dataset_split) == (0.875, "birds", "test")
    assert result.dataset_args == {"shots": 16, "seed": 3} and result.metric_name == "accuracy, paper preset"


def test_accuracy_is_told_with_its_preset_shots_and_seed():
    told = "87.50 % of 40 images of the split `test`; zero-shot CLIP: 50.00 % (paper preset, 16 shots, seed 3)."
    assert told in " ".join(card.write(facts()).split())


def test_run_that_was_not_evaluated_has_no_accuracy():
    text = card.write(facts(None))
    assert "No accuracy is known" in text and "model-index" not in text and "%" not in text.partition("## Use")[0]


def test_pocket_number_says_that_it_is_none_of_the_papers():
    pocket = {"preset": "pocket", "backbone": "pocket", "pretrained": None}
    text = " ".join(card.write(facts({**METRICS, **pocket}, **pocket)).split())
    assert "No number of it is one of the paper's" in text and "(pocket preset" in text


@pytest.mark.parametrize(
    ("made", "licence"),
    [
        ({}, "mit"),
        ({"backbone": "pocket", "pretrained": None, "preset": "pocket"}, "mit"),
        ({"pretrained": "laion2b_s34b_b88k"}, "other"),
        ({"pretrained": "/home/me/openai.pt"}, "other"),
    ],
)
def test_licence_is_that_of_the_weights(made, licence):
    assert head(card.write(facts(None, **made)))["license"] == licence


def test_file_of_weights_is_named_without_its_folder():
    text = card.write(facts(None, pretrained="/home/me/weights.pt"))
    assert "`weights.pt`" in text and "/home" not in text


def test_lengths_are_told_by_layer():
    text = card.write(facts())
    assert "| learned tokens by text layer | 2 0 |" in text and "| learned tokens by image layer | 0 3 |" in text


def test_template_does_not_break_the_table():
    assert "| template | `a \\| of {}` |" in card.write(facts(template="a | of {}"))
