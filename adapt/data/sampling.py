"""Few-shot subsets by CoOp's protocol, to the letter: the same seed gives the same images as the published index files.

Convention: Dassl/CoOp. One generator seeded once draws train at `shots`, then, without reseeding, val at
min(shots, 4); classes in order of first appearance; a class with fewer images than asked gives all that it has.

A dataset without a val split, such as ImageNet, draws val from the training images that are not among the shots
(CLIP-LoRA's convention for ImageNet; CoOp passes the test images as val, which would choose settings on test).
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

VAL_SHOTS = 4


class Sample(NamedTuple):
    """One labelled image: a name that `Dataset.read` understands, its label in 0..c-1, and the class's name."""

    path: str
    label: int
    name: str


class FewShot(NamedTuple):
    """The images of one seed.

    short: the classes that have fewer than `shots` training images (name, how many)
    reused: the classes whose val images are training images of theirs, since there are no others
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
    """The training images that were not chosen; all of a class's own where none is left, and the names of these."""
    paths = {item.path for item in chosen}
    left = {item.label for item in train if item.path not in paths}
    reused = dict.fromkeys(item.name for item in train if item.label not in left)
    return [item for item in train if item.path not in paths or item.label not in left], list(reused)


def draw(items: Sequence[Sample], shots: int, generator: random.Random) -> tuple[list[Sample], list[tuple[str, int]]]:
    """`shots` items of every class, and the classes that have fewer with how many they have."""
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
