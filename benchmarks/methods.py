"""The trainable parameters and tokens of every method, in the paper preset.

    python -m benchmarks.methods          # count, and write reports/methods.csv
    python -m benchmarks.methods table    # print the README's table of the methods from it and the reports

They are counted on ViT-B/16 with 100 classes. Weights are random, since only shapes count.
"""

import json
import re
import sys
from pathlib import Path

import open_clip
import pandas as pd
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
PAPER = re.compile(
    r"([A-Z][a-z]+)(, [^;]*)?; ([A-Za-z ]+ \d{4}); arXiv:(\d+\.\d+)"
)  # in the head of conf/method/NAME.yaml
ADAPT = "https://openreview.net/forum?id=3uVAA3ckxT"  # its last submission to TMLR
HEADINGS = ["method", "paper", "settings", "trainable", "pocket", "published"]


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


def paper_link(name: str) -> str:
    """Link the paper that the head of a method's settings cites."""
    head = " ".join(Path(f"conf/method/{name}.yaml").read_text(encoding="utf-8").replace("#", " ").split())
    if name == "adapt":
        return f"[TMLR 2026]({ADAPT})"
    if not (cited := PAPER.search(head)):
        return "control"
    author, others, venue, number = cited.groups()
    return f"[{author}{' et al.' if others else ''}, {venue}](https://arxiv.org/abs/{number})"


def pocket_accuracies() -> dict[str, float]:
    """Return each method's mean accuracy on the pocket, in percent.

    The default methods' are those of the report; the others' are those of the study `methods`, if that was made with
    the same CLIP weights.
    """
    report = json.loads(Path("reports/metrics.json").read_text(encoding="utf-8"))
    study = json.loads(Path("reports/studies/methods.json").read_text(encoding="utf-8"))
    found: dict[str, float] = {}
    if all(experiment["weights"] == report["weights"] for experiment in study["experiments"]):
        runs = pd.read_csv("reports/studies/methods.csv")
        means = runs.groupby(["method", "dataset"])["accuracy"].mean().groupby("method").mean()
        found = {str(name): accuracy for name, accuracy in means.items()}
    return {name: 100 * accuracy for name, accuracy in (found | report["accuracy"]["average"]).items()}


def table() -> list[str]:
    """Return the README's table of the methods."""
    counted = {row["method"]: int(row["trainable"]) for row in formats.read_csv(TABLE, "python -m benchmarks.methods")}
    pocket = pocket_accuracies()
    published: dict[str, list[str]] = {}
    for result in yaml.parse(Path("reports/published.yaml").read_bytes())["results"]:
        published.setdefault(result["method"], []).append(f"{result['average']:.5g}")
    rows = [
        [
            f"[`{name}`](adapt/methods/{name}.py)",
            paper_link(name),
            f"[{name}.yaml](conf/method/{name}.yaml)",
            f"{trainable:,}",
            f"{pocket[name]:.2f}" if name in pocket else "–",
            ", ".join(published.get(name, ["–"])),
        ]
        for name, trainable in counted.items()
    ]
    ruler = ["---"] * 3 + ["---:"] * 3
    return [f"| {' | '.join(cells)} |" for cells in (HEADINGS, ruler, *rows)]


def main() -> None:
    if sys.argv[1:] == ["table"]:
        print(*table(), sep="\n")
        return
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
