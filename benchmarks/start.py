"""The harm of random prompts before tuning, by the layers that have them.

    python -m benchmarks.start

Measures the frozen pocket CLIP's accuracy with untuned key/value prompts on whole validation splits, as the mean over
six draws. Each layer named has as many tokens as `adapt` starts with (prompts.initial_length). Writes
reports/start.csv, which docs/pocket.md quotes.
"""

from pathlib import Path
from statistics import mean

import torch
from torch import Tensor
from tqdm import tqdm

from adapt.clip import backbone as clip
from adapt.clip.backbone import Backbone
from adapt.config import PromptsConfig
from adapt.data import builtin
from adapt.data.dataset import Dataset
from adapt.methods._kv_prompts import KeyValuePrompts, initial_prompts
from adapt.pipeline import image_cache, params
from adapt.runtime import formats, yaml
from adapt.task import FewShotTask

TABLE = Path("reports/start.csv")
DRAWS = range(1, 7)
PLACES = {  # the layers of each tower that get tokens
    "nowhere": {},
    "in every layer": {"text": slice(None), "image": slice(None)},
    "in the image tower": {"image": slice(None)},
    "in the first text layer": {"text": slice(1)},
    "in the other text layers": {"text": slice(1, None)},
}
RANDOM = {name: (layers, None) for name, layers in PLACES.items()}
STARTS = RANDOM | {"in every layer, words in the first text layer": (PLACES["in every layer"], "template")}


def start_task(backbone: Backbone, dataset: Dataset, seed: int) -> FewShotTask:
    """Return the task that a method starts from; the teacher is not used here."""
    return FewShotTask(backbone, dataset.template, list(dataset.classes), teacher=torch.empty(0), seed=seed)


@torch.no_grad()
def accuracy(
    task: FewShotTask, layers: dict[str, slice], start: PromptsConfig, images: Tensor, labels: Tensor
) -> float:
    """Return the accuracy with untuned prompts in some layers."""
    lengths = {branch: [0] * count for branch, count in task.backbone.layers.items()}
    for branch, part in layers.items():
        lengths[branch][part] = [start.initial_length] * len(lengths[branch][part])
    method = KeyValuePrompts(task, initial_prompts(task, lengths, start), distill=None)
    found = method.image_features(images) @ method.text_features().T
    return float((found.argmax(dim=1) == labels).float().mean())


def main() -> None:
    torch.set_num_threads(1)
    values = params.Params(**yaml.parse(Path("params.yaml").read_text(encoding="utf-8")))
    backbone = clip.load(values.backbone.name, values.backbone.pretrained, "cpu")
    rows = []
    for name in tqdm(values.datasets):
        dataset = builtin.load(name)
        cache = image_cache.decode(dataset, [sample.path for sample in dataset.val], backbone.image_size)
        images = backbone.normalise(torch.from_numpy(cache.select(sample.path for sample in dataset.val)[:]))
        labels = torch.tensor([sample.label for sample in dataset.val])
        tasks = [start_task(backbone, dataset, seed) for seed in DRAWS]
        row: dict[str, str | float] = {"dataset": name}
        for place, (layers, words) in STARTS.items():
            start = values.prompts.model_copy(update={"ctx_init": words})
            row[place] = round(mean(accuracy(task, layers, start, images, labels) for task in tasks), 4)
        rows.append(row)
        tqdm.write(str(row))
    formats.write_csv(TABLE, rows[0], rows)


if __name__ == "__main__":
    main()
