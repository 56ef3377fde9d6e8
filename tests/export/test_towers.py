"""Image towers other than CLIP's plain ViT, with methods that do not change them."""

import pytest

from adapt import methods
from adapt.export import check, onnx
from adapt.export.facts import Facts
from adapt.export.folded import Folded
from tests.clip.test_weights import KINDS, backbone

__all__ = ["backbone"]

MADE = {
    "method": "zero_shot", "preset": "paper", "backbone": "resnet", "weights": "0" * 64, "dataset": "birds",
    "template": "a photo of a {}.", "seed": 1, "pretrained": "weights.pt", "classes": ["wren", "robin"],
}  # fmt: skip


@pytest.mark.parametrize("backbone", KINDS, indirect=True)
def test_tower_of_another_kind_is_exported_as_it_is(backbone, task, tmp_path):
    method = methods.build("zero_shot", task, {"text": "template"}).eval()
    run = onnx.write(tmp_path, Folded(method), Facts(MADE, None, method.lengths(), backbone.image_size))
    assert check.largest_difference(method, run, "birds") < check.TOLERANCE


@pytest.mark.parametrize("backbone", ["resnet"], indirect=True)
def test_text_tower_is_not_in_the_file(backbone, task, tmp_path):
    method = methods.build("zero_shot", task, {"text": "template"}).eval()
    onnx.write(tmp_path, Folded(method), Facts(MADE, None, method.lengths(), backbone.image_size))
    image = sum(value.numel() for value in backbone.model.visual.state_dict().values())
    assert (tmp_path / onnx.FILE).stat().st_size < 4 * image + 200_000  # the graph itself
