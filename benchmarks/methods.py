"""The trainable parameters and tokens of every method, in the paper preset.

    python -m benchmarks.methods

They are counted on ViT-B/16 with 100 classes. Weights are random, since only shapes count. Writes reports/methods.csv,
which docs/methods.md quotes.
"""

from pathlib import Path

import open_clip
import torch
from torch.nn import functional as F

from adapt import methods
from adapt.clip import backbone as clip
from adapt.data.loader import FewShotLoader
from adapt.pipeline import method_configs, params
from adapt.runtime import formats, yaml
from adapt.settings import resolution
from adapt.settings.composition import compose
from adapt.task import FewShotTask

CLASSES, SHOTS, FEATURES = 100, 16, 512
TABLE = Path("reports/methods.csv")


def few_shot(backbone: clip.Backbone) -> FewShotLoader:
    """Return few-shot images of all classes, as black squares with random features."""
    count = CLASSES * SHOTS
    return FewShotLoader(
        images=[torch.zeros(3, 8, 8, dtype=torch.uint8)] * count,
        labels=torch.arange(count) % CLASSES,
        view_features=torch.randn(count, 1, FEATURES),
        eval_features=torch.randn(count, FEATURES),
        normalise=backbone.normalise,
        seed=1,
        batch_size=32,
        image_size=backbone.image_size,
        crop_scale=[1.0, 1.0],
        horizontal_flip=False,
        index_offset=0,
        device=backbone.device,
    )


def main() -> None:
    torch.manual_seed(0)
    paper = params.Params(**yaml.parse(compose(["preset=paper"])))
    model = open_clip.create_model(paper.backbone.name, pretrained=None)
    backbone = clip.freeze(paper.backbone.name, model, torch.device("cpu"))
    classes = [f"thing {number}" for number in range(CLASSES)]
    task = FewShotTask(
        backbone, "a photo of a {}.", classes, F.normalize(torch.randn(CLASSES, FEATURES), dim=-1), seed=1
    )
    rows = []
    for name in paper.methods:
        changes = {"linear_probe": {"search_list": [1.0], "binary_search_steps": 1, "max_iter": 1}}.get(name, {})
        changed = paper.model_copy(update={"method": resolution.merge(paper.method, {name: changes})})
        method = methods.build(name, task, dict(method_configs.of_params(changed, name, "caltech101")))
        if name.startswith("tip_adapter"):
            method.on_fit_start(few_shot(backbone), few_shot(backbone))
        after = {"adapt", "random_prune", "post_hoc"} & {name}  # they end with the budget
        tokens = paper.prune.target if after else sum(map(sum, method.lengths().values()))
        rows.append({"method": name, "trainable": method.num_trainable(), "tokens": tokens})
        print(rows[-1], flush=True)
    formats.write_csv(TABLE, rows[0], rows)


if __name__ == "__main__":
    main()
