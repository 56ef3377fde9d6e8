"""A fitted method: how it predicts, and how it is saved, exported and loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.api.checks import count, expect, free, on_disk
from adapt.api.clip import load_clip
from adapt.api.pictures import Picture, Pictures
from adapt.clip.backbone import Backbone
from adapt.clip.model_configs import POCKET
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
BATCH_SIZE = 256  # images at a time; results do not depend on it


@dataclass(frozen=True, repr=False, eq=False)
class Model:
    """A fitted method on the CLIP that it was fitted to.

    clip: the frozen CLIP.
    result: tensors, lengths and log of the fit.
    made_from: the inputs of the fit: dataset, classes, method, config, seed, weights.
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
        """Return the state to pickle: the fields, without cached properties."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.made_from["method"]

    @property
    def classes(self) -> list[str]:
        """The class names, in the order of the labels."""
        return list(self.made_from["classes"])

    @property
    def log(self) -> TrainLog:
        """The log of the fit.

        `history` has a row per epoch and `trace` a row per pruned token; with them, steps and seconds.
        """
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
        """Build the fitted method on a CLIP with these weights."""
        made, features = self.made_from, {name: value.to(clip.device) for name, value in self.class_features.items()}
        task = FewShotTask(
            clip, made["template"], self.classes, features["features"], made["seed"], features["zero_shot"]
        )
        with numerics.fixed(clip):
            return predict.restore(self.name, task, self.config, self.result.tensors)

    def lengths(self) -> dict[str, list[int]]:
        """Return the number of learned tokens in each layer, by branch (`text`, `image`)."""
        found: dict[str, list[int]] = {}
        for row in self.result.lengths:
            found.setdefault(row["branch"], []).append(row["length"])
        return found

    def logits(self, images: Split | Iterable[Picture], *, batch_size: int = BATCH_SIZE) -> Float[Tensor, "n c"]:
        """Compute the logits of images.

        Args:
            images: a split of a dataset, or paths, Pillow images and arrays of uint8 [y, x, 3] or [y, x], in any
                mixture. They are resized and cropped as CLIP's are.
            batch_size: images at a time.

        Returns:
            Logits [n, c] on the CPU, a column for each of `classes`.

        Raises:
            UserError: for an image that cannot be read, named by its path or its position; for an empty list.
        """
        count(batch_size, "predict: batch_size")
        pictures = Pictures(images, self.clip.image_size)
        with numerics.fixed(self.clip):
            return self.logits_of(pictures, batch_size)

    def logits_of(self, pixels: predict.Images, batch_size: int) -> Float[Tensor, "n c"]:
        """Compute the logits of decoded images.

        If memory runs out, fewer classes are encoded at a time.
        """

        def run(clip: Backbone) -> Tensor:
            if clip is self.clip:
                return predict.logits(self.method, self.classify, pixels, batch_size=batch_size)
            smaller = self.build(clip)  # after out of memory
            with torch.no_grad():
                classify = smaller.classifier()
            return predict.logits(smaller, classify, pixels, batch_size=batch_size)

        return retry_with_smaller_text_batch(run, self.clip, len(self.classes))

    def predict(self, images: Split | Iterable[Picture], *, batch_size: int = BATCH_SIZE) -> list[str]:
        """Return the name of the most likely class of every image.

        Arguments and errors are those of `logits`.
        """
        return [self.classes[label] for label in self.logits(images, batch_size=batch_size).argmax(dim=1).tolist()]

    def predict_proba(self, images: Split | Iterable[Picture], *, batch_size: int = BATCH_SIZE) -> Float[Tensor, "n c"]:
        """Return the probability of every class for every image [n, c].

        Arguments and errors are those of `logits`.
        """
        return self.logits(images, batch_size=batch_size).softmax(dim=1)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model into a new folder, completely or not at all.

        `load` reads it.

        Args:
            folder: the folder. It will hold safetensors, CSV and JSON, as the runs of the pipeline do, and none of
                CLIP's weights.
            overwrite: replace a folder that holds a model.

        Raises:
            UserError: for a folder that exists already.
        """
        expect(folder, str | Path, "save: folder", "a path")
        with on_disk("save"):
            path = Path(folder).expanduser().resolve()
            free(path, "save", "model", run_folder.is_run(path), overwrite)
            with files.atomic_dir(path) as building:
                run_folder.write(building, self.result, self.made_from, self.class_features)

    def export(
        self, folder: str | Path, format: Format = "onnx", *, overwrite: bool = False,
        metrics: Mapping[str, Any] | None = None,
    ) -> float:  # fmt: skip
        """Write the model into a new folder in a form that other programs can run.

        A model card lies beside it. The folder is written completely or not at all.

        Args:
            folder: the folder.
            format: `onnx`, a file that maps pixels to probabilities (needs the extra `export`), or `safetensors`, class
                embeddings, keys and values for plain open_clip.
            overwrite: replace a folder that holds an exported model.
            metrics: its measured accuracy, in the form of a run's metrics.json.

        Returns:
            The largest difference between a probability of the exported file and of this model, on real images.

        Raises:
            UserError: for a folder that exists already, for a method that has no export in this format, for packages
                that are missing, and if the exported file gives other probabilities than this model.
        """
        from adapt.export import folder as exported
        from adapt.export.facts import Facts

        expect(folder, str | Path, "export: folder", "a path")
        expect(format, str, "export: format", "onnx or safetensors")
        expect(metrics, Mapping | None, "export: metrics", "a mapping, as metrics.json holds it")
        exported.check_format(format)
        with on_disk("export"):
            path = Path(folder).expanduser().resolve()
            free(path, "export", "exported model", exported.is_export(path), overwrite)
            clip = self.exact_clip()
            method = self.method if clip is self.clip else self.build(clip)
            facts = Facts(self.made_from, metrics, self.lengths(), clip.image_size)
            with numerics.fixed(clip):
                return exported.write(path, method, facts, format)

    def exact_clip(self) -> Backbone:
        """Return the CLIP in float32 on the CPU; load it again if this one differs."""
        if self.clip.precision == "float32" and self.clip.device.type == "cpu":
            return self.clip
        found = load_clip(self.made_from["backbone"], pretrained(self.made_from), device="cpu")
        check_weights(found, self.made_from, "this model")
        return found


def load(folder: str | Path, clip: Backbone | None = None, *, device: str = "auto") -> Model:
    """Load a model that `Model.save` wrote, or a run of the pipeline.

    Args:
        folder: its folder, such as runs/digits/adapt/seed_1.
        clip: the CLIP that it was fitted to; by default it is loaded as the folder says.
        device: the device on which to load that CLIP.

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
        same = model.method.lengths() == model.lengths()  # built now, so that a mismatch is reported now
    except predict.TensorMismatch as error:
        raise UserError(f"{path} is not of this version of {made['method']} ({error}); fit it again") from None
    if not same:
        raise UserError(f"{path}: lengths.csv is not of these prompts; save the model again")
    return model


def check_weights(clip: Backbone, made: Mapping[str, Any], what: str) -> None:
    """Raise UserError for a CLIP of other weights than something was fitted to."""
    if clip.weights != made["weights"]:
        raise UserError(
            f"{what} was fitted to {made['backbone']} with the weights {made['weights'][:12]}, but those of this "
            f"{clip.name} are {clip.weights[:12]}; give the CLIP that it was fitted to"
        )


def pretrained(made: dict[str, Any]) -> str | None:
    """Return the source of the weights that a run was made from.

    None for the pocket CLIP, whose weights come with this package, unless the run names an existing file.
    """
    given = made["pretrained"]
    return None if made["backbone"] == POCKET and not (given and Path(given).is_file()) else given


def evaluate(model: Model, split: Split, *, batch_size: int = BATCH_SIZE) -> float:
    """Compute the top-1 accuracy of a model on labelled images.

    Args:
        model: the model.
        split: a split of a dataset with the same classes, such as `data.test`.
        batch_size: images at a time; results do not depend on it.

    Returns:
        The fraction of images whose most likely class is their label, as in the metrics.json of the pipeline.

    Raises:
        UserError: for a split with other classes, for an empty one, and for an image that cannot be read.
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
