"""Batches and views are pure functions of seed, epoch, image and view."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from adapt.clip.encoders import encode_image
from adapt.data import augment
from adapt.data.dataset import center_crop

SETTINGS = {"size": 32, "crop_scale": [0.3, 0.9], "horizontal_flip": True}


def picture(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (3, 50, 41), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_view_is_the_same_each_time():
    assert torch.equal(
        augment.augmented_view(picture(), (1, 2, 3), **SETTINGS),
        augment.augmented_view(picture(), (1, 2, 3), **SETTINGS),
    )


def test_views_of_an_image_differ():
    assert not torch.equal(
        augment.augmented_view(picture(), (1, 2, 3), **SETTINGS),
        augment.augmented_view(picture(), (1, 2, 4), **SETTINGS),
    )


def test_flip_does_not_change_the_crop():
    keys = [(1, 0, number) for number in range(8)]
    straight = [augment.augmented_view(picture(), key, **(SETTINGS | {"horizontal_flip": False})) for key in keys]
    flipped = [augment.augmented_view(picture(), key, **SETTINGS) for key in keys]
    same = [torch.equal(a, b) for a, b in zip(straight, flipped, strict=True)]
    mirrored = [torch.equal(a.flip(-1), b) for a, b in zip(straight, flipped, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True)) and any(same) and any(mirrored)


def test_area_of_a_crop_is_in_the_range():
    for seed in range(200):
        top, left, h, w = augment.random_crop_box(np.random.default_rng(seed), 200, 160, [0.3, 0.9])
        assert 0.29 < h * w / (200 * 160) < 0.91 and top + h <= 200 and left + w <= 160


@pytest.mark.parametrize("ratio", [1.5, 2, 3, 4, 17])
@pytest.mark.parametrize("short", [30, 41, 224])
def test_where_no_crop_fits_it_is_torchvisions_central_one(short, ratio):
    """No crop of the whole area fits into a long image, so both use their fallback."""
    for size in ((short, round(ratio * short)), (round(ratio * short), short)):
        theirs = RandomResizedCrop.get_params(torch.zeros(3, *size), [1.0, 1.0], [3 / 4, 4 / 3])
        assert augment.random_crop_box(np.random.default_rng(0), *size, [1.0, 1.0]) == theirs


def test_no_view_of_a_long_image_is_squashed():
    """At 4 : 1 and with areas from 0.08, as in the paper preset."""
    boxes = [augment.random_crop_box(np.random.default_rng(seed), 100, 400, [0.08, 1.0]) for seed in range(300)]
    assert all(0.7 < w / h < 1.4 for _, _, h, w in boxes)


def test_centre_and_normalise_equal_open_clips_transform(backbone):
    image = Image.fromarray(picture().permute(1, 2, 0).numpy())
    transform = image_transform_v2(PreprocessCfg(**backbone.model.visual.preprocess_cfg), is_train=False)
    mine = backbone.normalise(torch.from_numpy(center_crop(image, backbone.image_size))[None])[0]
    torch.testing.assert_close(mine, transform(image))


def test_epoch_shows_each_image_once_but_the_rest_of_the_last_batch(batches):
    labels = torch.cat([batch.labels for batch in batches(0)])
    assert len(labels) == 8 and len(batches) == 2


def test_only_batch_is_kept_though_not_full(batches):
    (only,) = replace(batches, batch_size=100)(0)
    assert sorted(only.labels.tolist()) == sorted(batches.labels.tolist())


def test_order_differs_between_epochs(batches):
    first, second = (torch.cat([batch.labels for batch in batches(epoch)]) for epoch in (0, 3))
    assert not torch.equal(first, second)


def test_teacher_has_seen_the_very_crops_of_the_batch(batches, backbone):
    for epoch in (0, 1, 5):
        for batch in batches(epoch):
            features = encode_image(backbone.model, batch.images)
            torch.testing.assert_close(torch.nn.functional.normalize(features, dim=-1), batch.teacher)


def test_last_batch_is_kept_where_it_is_asked_for(batches):
    """1600 images at 256 are 7 batches to CLIP-LoRA's and Tip-Adapter's loaders."""
    kept = replace(batches, drop_last=False)
    labels = torch.cat([batch.labels for batch in kept(0)])
    assert len(kept) == 3 and sorted(labels.tolist()) == sorted(batches.labels.tolist())


def test_centred_batches_show_each_image_once_a_round_as_evaluation_sees_it(batches, backbone):
    first, last, again = (batches.eval_batch(number, 6) for number in range(3))
    assert (len(first.labels), len(last.labels), len(again.labels)) == (6, 5, 6)
    assert sorted([*first.labels.tolist(), *last.labels.tolist()]) == sorted(batches.labels.tolist())
    image = Image.fromarray(batches.images[batches.order(0)[0]].permute(1, 2, 0).numpy())
    expected = backbone.normalise(torch.from_numpy(center_crop(image, backbone.image_size))[None])[0]
    assert torch.equal(first.images[0], expected)
