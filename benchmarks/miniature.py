"""The pocket preset beside the paper's: sizes, length of tuning, room to learn.

    python -m benchmarks.miniature

Counts come from the params, the architectures and the catalogue of datasets; accuracies from models/pocket_scores.csv
and, for ViT-B/16, from reports/published.yaml. Writes reports/miniature.csv, which docs/pocket.md quotes.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from open_clip.tokenizer import SimpleTokenizer

from adapt.clip import model_configs
from adapt.data import builtin
from adapt.data.readers import imagenet_names
from adapt.data.specs import dataset_specs
from adapt.pipeline import params
from adapt.runtime import formats, yaml
from adapt.settings.composition import compose
from adapt.training.optimizers import num_steps

TABLE = Path("reports/miniature.csv")
PUBLISHED = {"zero_shot": "lamm_figure", "linear_probe": "clip_svd"}  # the rows of reports/published.yaml


class Side(NamedTuple):
    """One of the two presets, with the inputs of its table."""

    params: params.Params
    architecture: dict[str, Any]
    texts: list[str]  # class names in their templates
    classes: list[int]  # by dataset
    zero_shot: float  # percent, mean over the datasets
    linear_probe: float


def pocket() -> Side:
    """Return the pocket preset, with its own datasets and scores."""
    values = params.Params(**yaml.parse(compose(["preset=pocket"])))
    datasets = [builtin.load(name) for name in values.datasets]
    texts = [dataset.template.format(name) for dataset in datasets for name in dataset.classes]
    rows = formats.read_csv(Path("models/pocket_scores.csv"), "make pretrain")
    scores = (100 * mean(float(row[column]) for row in rows) for column in ("zero_shot", "linear_probe"))
    classes = [len(dataset.classes) for dataset in datasets]
    return Side(values, model_configs.get_model_config(values.backbone.name), texts, classes, *scores)


def paper() -> Side:
    """Return the paper preset: catalogue sizes, ImageNet's names, published averages."""
    values = params.Params(**yaml.parse(compose(["preset=paper"])))
    texts = [dataset_specs()["imagenet"].template.format(name) for name in imagenet_names().values()]
    rows = yaml.parse(Path("reports/published.yaml").read_text(encoding="utf-8"))["results"]
    scores = (
        next(row["average"] for row in rows if (row["method"], row["source"]) == known) for known in PUBLISHED.items()
    )
    classes = [dataset_specs()[name].classes for name in values.datasets]
    return Side(values, model_configs.get_model_config(values.backbone.name), texts, classes, *scores)


def span(values: Iterable[float], show: str = "{:,.0f}") -> str:
    """Format the least and the greatest of some values; only one if they are equal."""
    ordered = sorted(values)
    return "–".join(dict.fromkeys(show.format(value) for value in (ordered[0], ordered[-1])))


def rows(side: Side) -> dict[str, str]:
    """Return the cells of a preset by the name of their row."""
    values, vision, text = side.params, side.architecture["vision_cfg"], side.architecture["text_cfg"]
    layers = {"text": text["layers"], "image": vision["layers"]}
    encode = SimpleTokenizer().encode
    tokens = {
        "image": (vision["image_size"] // vision["patch_size"]) ** 2 + 1,
        "text": mean(len(encode(words)) + 2 for words in side.texts),
    }
    start, end = values.prompts.initial_length, values.prune.target / sum(layers.values())

    def share(branch: str) -> str:
        return span((100 * length / (length + tokens[branch]) for length in (end, start)), "{:.0f}") + " %"

    batches = [max(1, count * values.shots // values.optimizer.batch_size) for count in side.classes]
    prunings = -(-(start * sum(layers.values()) - values.prune.target) // values.prune.count)
    return {
        "layers, text + image tower": f"{layers['text']} + {layers['image']}",
        "width, text and image tower": f"{text['width']}, {vision['width']}",
        "tokens of an image": f"{tokens['image']}",
        "tokens of a class's text, mean": f"{tokens['text']:.1f}",
        "prompt tokens a layer, at the end (mean) and at the start": span((end, start), "{:.1f}"),
        "their share of the tokens that attention sees, image": share("image"),
        "their share of the tokens that attention sees, text": share("text"),
        "prompt tokens in all, start → end": f"{start * sum(layers.values())} → {values.prune.target}",
        "prunings": str(prunings),
        "epochs, of them before the first pruning": f"{values.optimizer.epochs}, {values.prune.warmup}",
        "images a step": str(values.optimizer.batch_size),
        "steps of a run": span(num_steps(values.optimizer, count, values.shots) for count in batches),
        "views of an image": str(values.teacher.views),
        "datasets": str(len(side.classes)),
        "classes of a dataset": span(side.classes),
        "zero-shot accuracy, %": f"{side.zero_shot:.1f}",
        "linear probe at 16 shots, %": f"{side.linear_probe:.1f}",
        "from one to the other, points": f"{side.linear_probe - side.zero_shot:.1f}",
    }


def table() -> list[dict[str, str]]:
    """Return the rows of reports/miniature.csv."""
    left, right = rows(pocket()), rows(paper())
    return [{"what": what, "pocket": left[what], "paper": right[what]} for what in left]


if __name__ == "__main__":
    found = table()
    formats.write_csv(TABLE, found[0], found)
    for row in found:
        print("| " + " | ".join(row.values()) + " |")
