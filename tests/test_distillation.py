"""Distances to the teacher: their values, their zeros, their names."""

from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from adapt.config import Distance
from adapt.distillation import DISTANCES, Features, angular, kl, l1, logits, pairwise

SCALE = torch.tensor(20.0)


def draw(seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(*(F.normalize(torch.randn(n, 8, generator=generator), dim=-1) for n in (5, 3)))


def test_angular_is_one_minus_the_mean_cosine():
    student, teacher = draw(0), draw(1)
    text, image = angular(student, teacher, SCALE)
    torch.testing.assert_close(text, 1 - F.cosine_similarity(student.text, teacher.text).mean())
    torch.testing.assert_close(image, 1 - F.cosine_similarity(student.image, teacher.image).mean())


def test_l1_is_the_mean_over_all_elements():
    student, teacher = draw(0), draw(1)
    torch.testing.assert_close(l1(student, teacher, SCALE)[0], (student.text - teacher.text).abs().sum() / (5 * 8))


def test_kl_is_of_the_teacher_from_the_student_over_the_number_of_logits():
    student, teacher = draw(0), draw(1)
    p, q = (logits(features, SCALE).softmax(dim=-1) for features in (teacher, student))
    torch.testing.assert_close(kl(student, teacher, SCALE)[1], (p * (p.log() - q.log())).sum() / (3 * 5))


def test_pairwise_compares_the_matrices_of_cosines():
    student, teacher = draw(0), draw(1)
    difference = student.image @ student.image.T - teacher.image @ teacher.image.T
    torch.testing.assert_close(pairwise(student, teacher, SCALE)[1], difference.square().mean())


def test_pairwise_does_not_see_a_common_rotation():
    student = draw(0)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(3)))[0]
    turned = Features(*(features @ rotation for features in student))
    assert max(pairwise(student, turned, SCALE)) < 1e-10


@pytest.mark.parametrize("kind", DISTANCES)
def test_student_equal_to_teacher_is_at_distance_zero(kind):
    assert max(map(abs, DISTANCES[kind](draw(0), draw(0), SCALE))) < 1e-6


@pytest.mark.parametrize("kind", [kind for kind in DISTANCES if kind != "none"])
def test_distance_is_positive_elsewhere(kind):
    assert sum(DISTANCES[kind](draw(0), draw(1), SCALE)) > 0


def test_every_kind_of_the_params_is_there():
    assert set(DISTANCES) == set(get_args(Distance))
