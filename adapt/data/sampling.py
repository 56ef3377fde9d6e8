"""Few-shot subsets by CoOp's protocol.

The same seed gives the same images as CoOp's published index files.

Convention: Dassl/CoOp. One generator, seeded once, draws train with `shots` images per class, then, without reseeding,
val with min(shots, 4). Classes are in order of first appearance. A class with fewer images than asked for contributes
all of them.

A dataset without a val split, such as ImageNet, draws val from the training images that are not among the shots
(CLIP-LoRA's convention for ImageNet). CoOp passes the test images as val, so that settings would be chosen on test.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

VAL_SHOTS = 4


class Sample(NamedTuple):
    """One labelled image.

    Attributes:
        path: the name that `Dataset.read` takes
        label: the class's number, in 0..c-1
        name: the class's name
    """

    path: str
    label: int
    name: str


class FewShot(NamedTuple):
    """The images of one seed.

    Attributes:
        incomplete_classes: the classes with fewer than `shots` training images, as (name, number of images)
        reused_classes: the classes whose val images are also among their training images, since they have no others
    """

    train: list[Sample]
    val: list[Sample]
    incomplete_classes: list[tuple[str, int]]
    reused_classes: list[str]


def sample(train: Sequence[Sample], val: Sequence[Sample], shots: int, seed: int) -> FewShot:
    """Draw the few-shot training and validation subsets of one seed."""
    generator = random.Random(seed)
    chosen, short = draw(train, shots, generator)
    source, reused = (val, []) if val else spare(train, chosen)
    return FewShot(chosen, draw(source, min(shots, VAL_SHOTS), generator)[0], short, reused)


def spare(train: Sequence[Sample], chosen: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Return the training images that val may be drawn from.

    These are the images that were not chosen. A class without any contributes all its images; the names of such classes
    are returned too.
    """
    paths = {item.path for item in chosen}
    left = {item.label for item in train if item.path not in paths}
    reused = dict.fromkeys(item.name for item in train if item.label not in left)
    return [item for item in train if item.path not in paths or item.label not in left], list(reused)


def draw(items: Sequence[Sample], shots: int, generator: random.Random) -> tuple[list[Sample], list[tuple[str, int]]]:
    """Draw `shots` items of every class.

    Also return the classes that have fewer, as (name, number of items).
    """
    by_label: dict[int, list[Sample]] = {}
    for item in items:
        by_label.setdefault(item.label, []).append(item)
    chosen, short = [], []
    for group in by_label.values():
        if len(group) >= shots:
            group = generator.sample(group, shots)
        else:
            short.append((group[0].name, len(group)))
        chosen.extend(group)
    return chosen, short
