"""From files to a tuned method and back: what the stages `train` and `evaluate` do for one seed of one dataset."""

import math
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adapt import methods
from adapt.clip.backbone import Backbone
from adapt.clip.oom import AdaptiveBatch, retry_with_smaller_text_batch
from adapt.config import AdamWConfig, AugmentConfig, Config, SGDConfig
from adapt.data.augment import to_tensor
from adapt.data.dataset import Dataset
from adapt.data.loader import FewShotLoader
from adapt.errors import UserError
from adapt.methods._base import Method
from adapt.pipeline import fewshot, teacher
from adapt.pipeline.image_cache import ImageCache
from adapt.pipeline.method_configs import restore as restore_settings
from adapt.runtime import files
from adapt.runtime.checkpoint import Checkpoint, map_resumable
from adapt.task import FewShotTask
from adapt.training import flops
from adapt.training import optimizers as optimisers
from adapt.training.trainer import Store, TrainLog, fit

ROOT = Path("data/tuned")
PROMPTS = "prompts.safetensors"
COLUMNS = {
    "lengths.csv": ("branch", "layer", "length"),
    "history.csv": ("epoch", "lr", "loss", "cross_entropy", "tokens"),  # and the method's own terms
    "trace.csv": ("step", "epoch", "tokens_left", "branch", "layer", "token", "score"),
}


class Tuned(NamedTuple):
    """What one seed ends with."""

    tensors: dict[str, Tensor]
    lengths: list[dict[str, Any]]
    record: TrainLog
    memory: int  # peak, in bytes: of the device where that is a GPU, else of the process
    flops: int  # of the last step, forward and backward, by count
    budget: int | None  # tokens that it was to end with

    @property
    def tokens(self) -> int:
        """Tokens that it ended with."""
        return sum(row["length"] for row in self.lengths)


def describe(
    backbone: Backbone, preset: str, dataset: str, method: str, settings: Config, views: AugmentConfig
) -> dict[str, Any]:
    """What a run is made from; it goes into the metadata of the prompts, and evaluation builds the method from it."""
    made_from = {"preset": preset, "backbone": backbone.name, "weights": backbone.weights}
    made_from |= {"precision": backbone.precision, "dataset": dataset, "method": method}
    return made_from | {"settings": settings.model_dump(), "views": views.model_dump()}


def checkpoint(made_from: Mapping[str, Any], seed: int, seconds: float) -> Checkpoint:
    """Where a run's state is kept: it depends on settings and inputs."""
    dataset, method = made_from["dataset"], made_from["method"]
    inputs = [fewshot.file(dataset, seed), teacher.file(dataset, None), teacher.file(dataset, seed)]
    return Checkpoint.of(f"train/{dataset}-{method}-{seed}", seconds, made_from, *inputs)


def make_task(backbone: Backbone, dataset: str, seed: int) -> FewShotTask:
    """The sampled dataset, as methods see it."""
    described = fewshot.describe(dataset)
    classes = {name: value.to(backbone.device) for name, value in teacher.read(dataset, None, backbone).items()}
    return FewShotTask(backbone, described.template, described.classes, classes["features"], seed, classes["zero_shot"])


def make_batches(
    backbone: Backbone, source: Dataset, seed: int, *, optimiser: SGDConfig | AdamWConfig | None, views: AugmentConfig
) -> dict[str, FewShotLoader]:
    """The training and the validation images of a seed, with the teacher's features of their views.

    optimiser: says how many images are a batch; None for a method that takes them as a whole.
    """
    features, made, first = teacher.read(source.name, seed, backbone), {}, 0
    for split in fewshot.SEEDED:
        items = fewshot.read(source.name, seed, split)
        made[split] = FewShotLoader(
            images=[to_tensor(source.image(item.path)) for item in items],
            labels=torch.tensor([item.label for item in items]),
            view_features=features[f"{split}.views"],
            eval_features=features[f"{split}.frozen"],
            normalise=backbone.normalise,
            seed=seed,
            batch_size=optimiser.batch_size if optimiser else 1,
            drop_last=optimiser is None or optimiser.drop_last,
            image_size=backbone.image_size,
            index_offset=first,
            device=backbone.device,
            **views.model_dump(),
        )
        first += len(items)
    return made


def tune(
    name: str,
    backbone: Backbone,
    source: Dataset,
    seed: int,
    settings: Config,
    views: AugmentConfig,
    store: Store,
    progress: Callable[[range], Iterable[int]],
) -> Tuned:
    """Run a method on one seed of a dataset; where memory runs out, go on from the last epoch with fewer at once."""
    optimiser = getattr(settings, "optimiser", None)
    batches = make_batches(backbone, source, seed, optimiser=optimiser, views=views)
    described = fewshot.describe(source.name)

    def run(backbone: Backbone) -> Tuned:
        method = methods.build(name, make_task(backbone, source.name, seed), dict(settings))
        start = time.perf_counter()
        method.on_fit_start(batches["train"], batches["val"])
        prepared = time.perf_counter() - start
        record = TrainLog()
        if optimiser:
            steps = optimisers.num_steps(optimiser, len(batches["train"]), described.shots)
            record = fit(method, batches["train"], optimiser, steps=steps, store=store, progress=progress)
        record.seconds += prepared
        lengths = [
            {"branch": branch, "layer": layer, "length": length}
            for branch, counts in method.lengths().items()
            for layer, length in enumerate(counts)
        ]
        tensors, memory, budget = method.to_tensors(), peak_memory(backbone.device), method.budget()
        counted = count_flops(method, batches["train"]) if optimiser else 0
        return Tuned(tensors, lengths, record, memory, counted, budget)

    return retry_with_smaller_text_batch(run, backbone, len(described.classes))


def peak_memory(device: torch.device) -> int:
    """The most bytes ever held: on the device where that is a GPU, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux


def count_flops(method: Method, batches: FewShotLoader) -> int:
    """FLOPs of a step as the method now is: matrix products, convolutions and attention, forward and backward.

    The optimiser's own are not counted. The method must not be used after it: gradients are left, generators moved.
    """
    with flops.counter() as counter:
        loss = method.losses(batches.batch(0, 0))[0]
        if loss.requires_grad:
            loss.backward()
    return counter.get_total_flops()


def write(path: Path, tuned: Tuned, made_from: Mapping[str, Any]) -> None:
    """The folder of one seed: prompts, lengths, history, trace and cost."""
    path.mkdir()
    files.write_tensors(path / PROMPTS, tuned.tensors, made_from)
    record = tuned.record
    columns = {**COLUMNS, "history.csv": list(record.history[0]) if record.history else COLUMNS["history.csv"]}
    for name, rows in (("lengths.csv", tuned.lengths), ("history.csv", record.history), ("trace.csv", record.trace)):
        files.write_csv(path / name, columns[name], rows)
    cost = {"steps": record.steps, "seconds": round(record.seconds, 3), "memory_mb": round(tuned.memory / 1e6, 1)}
    cost |= {"step_gflop": round(tuned.flops / 1e9, 4)} if tuned.flops else {}
    cost |= {"budget": tuned.budget} if tuned.budget is not None else {}
    files.write_json(path / "cost.json", cost)


def folder(dataset: str, method: str, seed: int) -> Path:
    """Where `train` leaves a seed."""
    return ROOT / dataset / method / f"seed_{seed}"


def prompts(dataset: str, method: str, seed: int) -> Path:
    """Where its prompts are."""
    return folder(dataset, method, seed) / PROMPTS


def restore(name: str, task: FewShotTask, dataset: str) -> Method:
    """The tuned method; refused when another backbone or other weights made its file."""
    backbone = task.backbone
    path, made_by = prompts(dataset, name, task.seed), f"dvc repro -f train@{dataset}-{name}"
    tensors = files.read_tensors(path, made_by, backbone=backbone.name, weights=backbone.weights)
    settings = restore_settings(name, files.read_made_from(path).get("settings"))
    method = methods.build(name, task, dict(settings))
    try:
        method.load_tensors(tensors)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not of this version of {name} ({reason}); make it again with `{made_by}`") from None
    return method.eval()


def score(
    name: str,
    backbone: Backbone,
    dataset: str,
    seed: int,
    pack: ImageCache,
    paths: Sequence[str],
    batch: int,
    store: Checkpoint | None = None,
) -> tuple[list[int], int]:
    """What a tuned method says of the images of a pack that `paths` name, and how many numbers it has learned."""

    def run(backbone: Backbone) -> tuple[list[int], int]:
        tuned = restore(name, make_task(backbone, dataset, seed), dataset)
        return predict(tuned, backbone, pack, paths, batch, store), tuned.num_trainable()

    return retry_with_smaller_text_batch(run, backbone, len(fewshot.describe(dataset).classes))


@torch.no_grad()
def predict(
    method: Method,
    backbone: Backbone,
    pack: ImageCache,
    paths: Sequence[str],
    batch: int,
    store: Checkpoint | None = None,
) -> list[int]:
    """The most likely class of every image of a pack that `paths` name; those that are done are kept in the store."""
    classify, fitting = method.classifier(), AdaptiveBatch(batch)

    def choose(part: slice) -> Tensor:
        return classify(backbone.normalise(torch.from_numpy(pack.of(paths[part])))).argmax(dim=1).cpu()

    def classes(number: int) -> Tensor:
        return torch.cat(fitting.each(choose, range(len(paths))[number * batch : (number + 1) * batch]))

    return torch.cat(map_resumable(store, math.ceil(len(paths) / batch), classes)).tolist()
