"""The overlap between the pocket datasets and the pocket CLIP's training images.

It comes from icons that look alike in two families.

    python -m benchmarks.overlap

For each drawing of an icon dataset (in all its styles, all splits): the greatest overlap, as intersection over union of
the two masks, with any drawing of the families of pre-training. Writes reports/overlap.csv, which the model card
quotes: the share of a dataset's drawings above an overlap, for all families together and for each.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adapt.data import builtin
from adapt.data.glyphs import Mask, mask
from adapt.pretraining.captions import icon_subjects
from adapt.runtime import formats, yaml

TABLE = Path("reports/overlap.csv")
DATASETS = ("phosphor", "remix", "fontawesome")
ABOVE = 0.9  # from this overlap on, two masks look almost the same


def flat(masks: list[Mask]) -> Tensor:
    """Return masks as rows of numbers in 0..1."""
    return torch.from_numpy(np.stack(masks)).flatten(1).float() / 255


def overlap(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return each of our masks' greatest intersection over union with one of theirs."""
    both = ours @ theirs.T
    return (both / (ours.sum(1)[:, None] + theirs.sum(1) - both)).amax(1)


def main() -> None:
    families = yaml.parse(Path("params.yaml").read_text(encoding="utf-8"))["pretrain"]["families"]
    seen = {family: flat([subject.mask for subject in icon_subjects(family)]) for family in families}
    rows = []
    for name in DATASETS:
        drawings = [drawing for group in builtin.classes(name).values() for drawing in group]
        ours = flat([mask(glyph) for drawing in drawings for glyph in drawing.styles.values()])
        found = {family: overlap(ours, masks) for family, masks in seen.items()}
        found = {"all": torch.stack(list(found.values())).amax(0)} | found
        shares = {family: round(float((values > ABOVE).float().mean()), 4) for family, values in found.items()}
        rows.append({"dataset": name, "drawings": len(ours), **shares})
        print(rows[-1])
    formats.write_csv(TABLE, rows[0], rows)


if __name__ == "__main__":
    main()
