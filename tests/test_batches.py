"""Batches and views are pure functions of seed, epoch, image and view."""

import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from adapt.data import views
from adapt.data.dataset import centre
from adapt.encoders import encode_image

SETTINGS = {"size": 32, "scale": [0.3, 0.9], "flip": True}


def picture(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (3, 50, 41), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_view_is_the_same_each_time():
    assert torch.equal(views.view(picture(), (1, 2, 3), **SETTINGS), views.view(picture(), (1, 2, 3), **SETTINGS))


def test_views_of_an_image_differ():
    assert not torch.equal(views.view(picture(), (1, 2, 3), **SETTINGS), views.view(picture(), (1, 2, 4), **SETTINGS))


def test_flip_does_not_change_the_crop():
    keys = [(1, 0, number) for number in range(8)]
    straight = [views.view(picture(), key, **(SETTINGS | {"flip": False})) for key in keys]
    flipped = [views.view(picture(), key, **SETTINGS) for key in keys]
    same = [torch.equal(a, b) for a, b in zip(straight, flipped, strict=True)]
    mirrored = [torch.equal(a.flip(-1), b) for a, b in zip(straight, flipped, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True)) and any(same) and any(mirrored)


def test_area_of_a_crop_is_in_the_range():
    import numpy as np

    for seed in range(200):
        top, left, h, w = views.box(np.random.default_rng(seed), 200, 160, [0.3, 0.9])
        assert 0.29 < h * w / (200 * 160) < 0.91 and top + h <= 200 and left + w <= 160


def test_centre_and_normalise_equal_open_clips_transform(backbone):
    image = Image.fromarray(picture().permute(1, 2, 0).numpy())
    transform = image_transform_v2(PreprocessCfg(**backbone.model.visual.preprocess_cfg), is_train=False)
    mine = backbone.normalise(torch.from_numpy(centre(image, backbone.size))[None])[0]
    torch.testing.assert_close(mine, transform(image))


def test_epoch_shows_each_image_once_but_the_rest_of_the_last_batch(batches):
    labels = torch.cat([batch.labels for batch in batches(0)])
    assert len(labels) == 8 and len(batches) == 2


def test_only_batch_is_kept_though_not_full(batches):
    from dataclasses import replace

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
