"""The teacher: its class embeddings, its cache, and what it refuses."""

from dataclasses import replace

import open_clip
import pytest
import torch

from adapt.clip.encoders import encode_text, split_prefix
from adapt.errors import UserError
from adapt.methods.zero_shot import ZeroShot
from adapt.pipeline import teacher_cache
from adapt.runtime import formats
from adapt.training.teacher_features import embed_classes, ensemble, zero_shot
from tests.conftest import CLASSES


def test_ensemble_is_the_normalised_mean_of_unnormalised_features():
    features = (
        torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 9.0])[:, None, None]
    )
    expected = features.mean(dim=0)
    torch.testing.assert_close(ensemble(features), expected / expected.norm(dim=-1, keepdim=True))


def test_golden_ensemble(golden_clip, golden, relative_error):
    templates = ("a photo of a {}.", "a bad photo of the {}.", "itap of a {}.")
    features = [
        encode_text(golden_clip, split_prefix(golden_clip, open_clip.tokenize([t.format(c) for c in CLASSES])))
        for t in templates
    ]
    assert (
        relative_error(torch.stack(features).mean(dim=0), golden("zeroshot.safetensors")["ensemble_text_features"])
        < 1e-5
    )


def test_class_embeddings_are_the_ensemble_over_the_templates(backbone):
    templates = ["a photo of a {}.", "{} texture."]
    features = [backbone.model.encode_text(backbone.tokenize([t.format(c) for c in CLASSES])) for t in templates]
    torch.testing.assert_close(embed_classes(backbone, CLASSES, templates), ensemble(torch.stack(features)))


def test_named_templates_are_open_clips(backbone):
    from open_clip.zero_shot_metadata import SIMPLE_IMAGENET_TEMPLATES

    spelled = [template("{}") for template in SIMPLE_IMAGENET_TEMPLATES]
    torch.testing.assert_close(embed_classes(backbone, CLASSES, "simple"), embed_classes(backbone, CLASSES, spelled))


@pytest.fixture
def cached(backbone, tmp_path, monkeypatch):
    """The features of a dataset's classes, made with given metadata."""
    monkeypatch.setattr(teacher_cache, "ROOT", tmp_path)

    def write(**made_from):
        facts = {"backbone": backbone.name, "weights": backbone.weights} | made_from
        formats.write_tensors(tmp_path / "digits" / "classes.safetensors", {"features": torch.ones(2, 3)}, facts)

    return write


def test_cache_is_read_back(cached, backbone):
    cached()
    assert torch.equal(teacher_cache.read("digits", None, backbone)["features"], torch.ones(2, 3))


@pytest.mark.parametrize(("key", "value"), [("backbone", "ViT-B-32"), ("weights", "0" * 64)])
def test_cache_of_another_backbone_is_refused(key, value, cached, backbone):
    cached(**{key: value})
    with pytest.raises(UserError, match=rf"was made with {key} {value[:12]}.*`dvc repro -f teacher@digits`"):
        teacher_cache.read("digits", None, backbone)


def test_missing_cache_says_how_to_make_it(cached, backbone):
    with pytest.raises(UserError, match="is missing; make it with `dvc repro -f teacher@digits`"):
        teacher_cache.read("digits", 1, backbone)


def test_truncated_cache_is_refused(cached, backbone, tmp_path):
    cached()
    path = tmp_path / "digits" / "classes.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        teacher_cache.read("digits", None, backbone)


def test_zero_shots_ensemble_normalises_each_template_first():
    """As in CLIP's notebook and CoOp's ZeroshotCLIP2: all templates have equal weight."""
    features = (
        torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 9.0])[:, None, None]
    )
    expected = torch.stack([part / part.norm(dim=-1, keepdim=True) for part in features]).mean(dim=0)
    torch.testing.assert_close(zero_shot(features), expected / expected.norm(dim=-1, keepdim=True))
    assert not torch.allclose(zero_shot(features), ensemble(features), atol=1e-2)


def test_zero_shot_classifies_by_its_own_ensemble(task):
    other = replace(task, zero_shot=torch.eye(5, task.teacher.shape[1]))
    assert ZeroShot(other, text="ensemble").text_features() is other.zero_shot
