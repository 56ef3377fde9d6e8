"""A fitted method: what it predicts, how long its prompts are, and how it is saved and loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.api.checks import count, expect, on_disk
from adapt.api.clip import POCKET, load_clip
from adapt.api.pictures import Picture, Pictures
from adapt.clip.backbone import Backbone
from adapt.clip.oom import retry_with_smaller_text_batch
from adapt.config import Config
from adapt.data.dataset import Split
from adapt.errors import UserError
from adapt.export import Format
from adapt.methods._base import Classifier, Method
from adapt.runtime import files
from adapt.settings import resolution
from adapt.task import FewShotTask
from adapt.training import numerics, predict, run_folder
from adapt.training.fit import FitResult
from adapt.training.metrics import accuracy
from adapt.training.trainer import TrainLog

MADE_BY = "Model.save"
BATCH_SIZE = 256  # images at a time; no result depends on it


@dataclass(frozen=True, repr=False, eq=False)
class Model:
    """A fitted method on the CLIP that it was fitted to.

    clip: the frozen CLIP.
    result: tensors, lengths and log of the fit.
    made_from: what the fit was made from: dataset, classes, method, config, seed, weights.
    class_features: the teacher's class embeddings `features` and `zero_shot` [c, f], normalised.
    """

    clip: Backbone
    result: FitResult
    made_from: dict[str, Any]
    class_features: dict[str, Tensor]

    def __repr__(self) -> str:
        made = self.made_from
        return (
            f"<{made['method']} on {made['dataset']}, seed {made['seed']}: {self.result.tokens} tokens; {self.clip!r}>"
        )

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the fields, without what is built of them when it is first needed."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def name(self) -> str:
        """The method."""
        return self.made_from["method"]

    @property
    def classes(self) -> list[str]:
        """The class names, in the order of the labels."""
        return list(self.made_from["classes"])

    @property
    def log(self) -> TrainLog:
        """The log of the fit: rows of `history` an epoch, rows of `trace` a pruned token, steps and seconds."""
        return self.result.log

    @cached_property
    def config(self) -> Config:
        """The method's settings."""
        return resolution.restore(self.name, self.made_from["config"])

    @cached_property
    def method(self) -> Method:
        """The fitted method as a module."""
        return self.build(self.clip)

    @cached_property
    def classify(self) -> Classifier:
        """The function from normalised images [b, 3, y, x] to logits [b, c]."""
        with torch.no_grad():
            return self.method.classifier()

    def build(self, clip: Backbone) -> Method:
        """The fitted method on a CLIP of these weights."""
        made, features = self.made_from, {name: value.to(clip.device) for name, value in self.class_features.items()}
        task = FewShotTask(
            clip, made["template"], self.classes, features["features"], made["seed"], features["zero_shot"]
        )
        with numerics.fixed(clip):
            return predict.restore(self.name, task, self.config, self.result.tensors)

    def lengths(self) -> dict[str, list[int]]:
        """Return the learned tokens of every layer, by branch (`text`, `image`)."""
        found: dict[str, list[int]] = {}
        for row in self.result.lengths:
            found.setdefault(row["branch"], []).append(row["length"])
        return found

    def logits(self, images: Split | Iterable[Picture], *, batch_size: int = BATCH_SIZE) -> Float[Tensor, "n c"]:
        """Compute the logits of images.

        Args:
            images: paths, Pillow images and arrays of uint8 [y, x, 3] or [y, x], mixed at will, or a split of a
                dataset. They are resized and cropped as CLIP's are.
            batch_size: images at a time.

        Returns:
            Logits [n, c] on the CPU, a column for each of `classes`.

        Raises:
            UserError: for an image that cannot be read, by its path or its position; for no images.
        """
        count(batch_size, "predict: batch_size")
        pictures = Pictures(images, self.clip.image_size)
        with numerics.fixed(self.clip):
            return self.logits_of(pictures, batch_size)

    def logits_of(self, pixels: predict.Images, batch_size: int) -> Float[Tensor, "n c"]:
        """The logits of decoded images; with fewer classes at once where memory runs out."""

        def run(clip: Backbone) -> Tensor:
            if clip is self.clip:
                return predict.logits(self.method, self.classify, pixels, batch_size=batch_size)
            smaller = self.build(clip)  # memory has run out
            with torch.no_grad():
                classify = smaller.classifier()
            return predict.logits(smaller, classify, pixels, batch_size=batch_size)

        return retry_with_smaller_text_batch(run, self.clip, len(self.classes))

    def predict(self, images: Split | Iterable[Picture], *, batch_size: int = BATCH_SIZE) -> list[str]:
        """Return the most likely class of every image, by its name; arguments and errors as `logits`."""
        return [self.classes[label] for label in self.logits(images, batch_size=batch_size).argmax(dim=1).tolist()]

    def predict_proba(self, images: Split | Iterable[Picture], *, batch_size: int = BATCH_SIZE) -> Float[Tensor, "n c"]:
        """Return the probability of every class for every image [n, c]; arguments and errors as `logits`."""
        return self.logits(images, batch_size=batch_size).softmax(dim=1)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model into a new folder, whole or not at all; `load` reads it.

        Args:
            folder: where; it holds safetensors, CSV and JSON, as the pipeline's runs do, and none of CLIP's weights.
            overwrite: replace a folder that holds a model.

        Raises:
            UserError: for a folder that is there already.
        """
        expect(folder, str | Path, "save: folder", "a path")
        with on_disk("save"):
            path = Path(folder).expanduser().resolve()
            is_model = (path / run_folder.PROMPTS).is_file()
            if path.exists() and not (overwrite and is_model):
                hint = "say overwrite=True or give another" if is_model else "it holds no model; give another"
                raise UserError(f"save: {path} is there already: {hint}")
            with files.atomic_dir(path) as building:
                run_folder.write(building, self.result, self.made_from, self.class_features)

    def export(
        self, folder: str | Path, format: Format = "onnx", *, overwrite: bool = False,
        metrics: Mapping[str, Any] | None = None,
    ) -> float:  # fmt: skip
        """Write the model into a new folder, in a form that other programs run, with a model card; whole or not at all.

        Args:
            folder: where.
            format: `onnx`, a file from pixels to probabilities (needs the extra `export`), or `safetensors`, class
                embeddings, keys and values for plain open_clip.
            overwrite: replace a folder that holds an exported model.
            metrics: what is known of its accuracy, as metrics.json of a run has it.

        Returns:
            The largest difference of a probability between what was written and this model, on real images.

        Raises:
            UserError: for a folder that is there already, for a method that cannot be exported so, for packages that
                are missing, and where what was written says something else than this model.
        """
        from adapt.export import folder as exported
        from adapt.export.facts import Facts

        expect(folder, str | Path, "export: folder", "a path")
        expect(format, str, "export: format", "onnx or safetensors")
        expect(metrics, Mapping | None, "export: metrics", "a mapping, as metrics.json holds it")
        exported.check_format(format)
        with on_disk("export"):
            path = Path(folder).expanduser().resolve()
            if path.exists() and not (overwrite and exported.is_export(path)):
                hint = "it holds no exported model; give another" if overwrite else "say overwrite=True or give another"
                raise UserError(f"export: {path} is there already: {hint}")
            clip = self.exact_clip()
            method = self.method if clip is self.clip else self.build(clip)
            facts = Facts(self.made_from, metrics, self.lengths(), clip.image_size)
            with numerics.fixed(clip):
                return exported.write(path, method, facts, format)

    def exact_clip(self) -> Backbone:
        """The CLIP in float32 on the CPU; loaded anew where this one is not."""
        if self.clip.precision == "float32" and self.clip.device.type == "cpu":
            return self.clip
        found = load_clip(self.made_from["backbone"], pretrained(self.made_from), device="cpu")
        check_weights(found, self.made_from, "this model")
        return found


def load(folder: str | Path, clip: Backbone | None = None, *, device: str = "auto") -> Model:
    """Load a model that `Model.save` has written, or a run of the pipeline's (runs/digits/adapt/seed_1).

    Args:
        folder: where it is.
        clip: the CLIP that it was fitted to; by default it is loaded as the folder says.
        device: for loading that.

    Returns:
        The model.

    Raises:
        UserError: for a folder that holds no model or one of another version, for a CLIP of other weights than the
            model was fitted to, and as `load_clip`.
    """
    expect(folder, str | Path, "adapt.load: folder", "a path")
    expect(clip, Backbone | None, "adapt.load: clip", "load_clip(…)")
    path = Path(folder).expanduser()
    with on_disk("adapt.load"):
        if not path.is_dir():
            raise UserError(f"adapt.load: there is no folder {path}")
        result, made, classes = run_folder.read(path, MADE_BY)
    if clip is None:
        clip = load_clip(made["backbone"], pretrained(made), device=device, precision=made["precision"])
    check_weights(clip, made, str(path))
    model = Model(clip, result, made, classes)
    try:
        same = model.method.lengths() == model.lengths()  # built now, so that what does not fit is told now
    except predict.TensorMismatch as error:
        raise UserError(f"{path} is not of this version of {made['method']} ({error}); fit it again") from None
    if not same:
        raise UserError(f"{path}: lengths.csv is not of these prompts; save the model again")
    return model


def check_weights(clip: Backbone, made: Mapping[str, Any], what: str) -> None:
    """Refuse a CLIP of other weights than those that something was fitted to; raises UserError."""
    if clip.weights != made["weights"]:
        raise UserError(
            f"{what} was fitted to {made['backbone']} with the weights {made['weights'][:12]}, but those of this "
            f"{clip.name} are {clip.weights[:12]}; give the CLIP that it was fitted to"
        )


def pretrained(made: dict[str, Any]) -> str | None:
    """Where the weights are to be had that a run was made from; the pocket's come with this package."""
    given = made["pretrained"]
    return None if made["backbone"] == POCKET and not (given and Path(given).is_file()) else given


def evaluate(model: Model, split: Split, *, batch_size: int = BATCH_SIZE) -> float:
    """Compute the top-1 accuracy of a model on labelled images.

    Args:
        model: the model.
        split: a split of a dataset of the same classes, such as `data.test`.
        batch_size: images at a time; no result depends on it.

    Returns:
        The share of images whose most likely class is theirs, as metrics.json of the pipeline has it.

    Raises:
        UserError: for a split of other classes, for an empty one, and for an image that cannot be read.
    """
    expect(model, Model, "evaluate: model", "what fit or load gives")
    expect(split, Split, "evaluate: split", "a split of a dataset, such as data.test")
    if list(split.dataset.classes) != model.classes:
        raise UserError(
            f"evaluate: the classes of {split.dataset.name} are not those that the model was fitted to on "
            f"{model.made_from['dataset']}"
        )
    if not split:
        raise UserError(f"evaluate: there are no images: this split of {split.dataset.name} is empty")
    return accuracy(model.logits(split, batch_size=batch_size).argmax(dim=1).tolist(), split.labels)
