"""Fit a method to a few-shot dataset."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from adapt import methods
from adapt.api import settings
from adapt.api.checks import expect, on_disk
from adapt.api.model import Model
from adapt.api.teacher import SPLITS, Images, TeacherFeatures, check, compute, decode, describe, open_store
from adapt.clip.backbone import Backbone
from adapt.config import Preset
from adapt.data import twins
from adapt.data.augment import to_tensor
from adapt.data.dataset import FewShotDataset
from adapt.data.loader import FewShotLoader
from adapt.errors import UserError
from adapt.methods._base import Method
from adapt.runtime import progress as bars
from adapt.runtime import signals
from adapt.runtime.checkpoint import Checkpoint
from adapt.settings import resolution
from adapt.task import FewShotTask
from adapt.training import fit as training
from adapt.training import numerics, run_folder
from adapt.training.token_effects import TokenEffects, measure
from adapt.training.trainer import Row, in_words

WHERE = "adapt.fit"


def fit(
    method: str,
    clip: Backbone,
    data: FewShotDataset,
    *,
    preset: Preset | None = None,
    features: TeacherFeatures | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    on_epoch: Callable[[Row], None] | None = None,
    cuda_graphs: bool = True,
    **changed: Any,
) -> Model:
    """Fit a method to a few-shot dataset, to the same tensors as the pipeline.

    It takes the same settings and as many threads as the pipeline's stages; the caller's number of threads is restored
    afterwards. Ctrl-C stops the fit after the current step.

    Args:
        method: its name (`list_methods()`).
        clip: the frozen CLIP, from `load_clip`.
        data: the images, from `load_dataset(…).few_shot(shots=…, seed=…)`.
        preset: the preset in conf/ that gives the settings: `pocket` or `paper`; by default pocket for the pocket CLIP,
            else paper.
        features: the frozen model's features, from `teacher_features`, if several methods share them.
        checkpoint: a path. The state is saved beside it each minute and when the fit is stopped, in a file of the same
            name plus 16 digits that identify all settings and images. The same call resumes from there; the file is
            removed at the end. By default no checkpoint is kept.
        progress: whether to show a progress bar.
        on_epoch: called after every epoch with its row of `Model.log.history`: number, learning rate, losses, tokens
            left. When a fit resumes from a checkpoint, it is first called for the epochs before it, so that it sees
            every epoch once.
        cuda_graphs: whether to record a training step on a GPU and replay it, which is faster and gives the same
            results; if recording fails, a warning says so.
        **changed: settings of the method, or sections of them as mappings, whose other keys stay as they are:
            `n_ctx=4`, `optimizer={"lr": 0.01}`, `prune={"target": 12}`, `augment={"horizontal_flip": True}`.

    Returns:
        The fitted model.

    Raises:
        UserError: with one line for each wrong setting; for an unknown method (with the nearest), an image that cannot
            be read, two classes with the same text, features made with other inputs, or a loss that is not finite.
        KeyboardInterrupt: on Ctrl-C.
    """
    check(clip, data, WHERE)
    expect(features, TeacherFeatures | None, f"{WHERE}: features", "teacher_features(clip, data)")
    expect(checkpoint, str | Path | None, f"{WHERE}: checkpoint", "a path")
    expect(method, str, f"{WHERE}: method", "the name of a method")
    expect(on_epoch, Callable | None, f"{WHERE}: on_epoch", "a function of an epoch's row")
    chosen = settings.resolve(method, clip, data, preset, changed)
    for remark in remarks(method, clip, data, chosen):
        warnings.warn(remark, stacklevel=2)
    with signals.installed(), ExitStack() as leaving:
        images = decode(data)
        expected = describe(clip, data, images, chosen.augment, chosen.teacher)
        if features is None:
            features = compute(clip, data, images, chosen.augment, chosen.teacher, expected)
        else:
            match(features, expected, WHERE)
        made_from = run_folder.describe(
            clip, preset=chosen.preset, dataset=data.name, template=data.template, classes=list(data.classes),
            method=method, config=chosen.config, augment=chosen.augment,
        ) | {"seed": data.seed}  # fmt: skip
        store = open_store(checkpoint, WHERE, made_from, expected) if checkpoint is not None else None
        if store:
            leaving.enter_context(on_disk(f"{WHERE}: checkpoint"))
            leaving.callback(store.close)
            for remark in store.remarks():
                warnings.warn(remark, stacklevel=2)
        with numerics.fixed(clip):
            result = run(method, clip, data, images, chosen, features, store, progress, on_epoch, cuda_graphs)
        if store:
            store.clear()
    if (remark := result.remark()) and not resolution.config_warning(method, clip.name, chosen.config):
        warnings.warn(f"{method} on {data.name}: {result.tokens} tokens, {remark}", stacklevel=2)
    if remark := result.recording_remark():
        warnings.warn(f"{method} on {data.name}: {remark}", stacklevel=2)
    return Model(clip, result, made_from, {name: value.cpu() for name, value in features.classes.items()})


def list_methods() -> list[str]:
    """List the methods that `fit` knows."""
    return methods.names()


def register_method(name: str, method: type[Method]) -> None:
    """Make a method of your own known to `fit` and `load` in this process.

    Args:
        name: what `fit` is to call it; registering the name again replaces the method.
        method: a subclass of `adapt.methods._base.Method`, such as of `TwoTower`. The keyword-only arguments of its
            constructor are its settings and need annotations; `fit` takes them as keywords. An optimizer, and sections
            named prompts, prune and distill, have the preset's values where `fit` is given none.

    Raises:
        UserError: for a name that the package itself has, one that is no identifier, and for what is no such class.
    """
    where = "adapt.register_method"
    expect(name, str, f"{where}: name", "a name")
    if not name.isidentifier():
        raise UserError(f"{where}: name: expected an identifier such as my_method, got {name!r}")
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise UserError(f"{where}: method: expected a subclass of Method, got {method!r}")
    if name in methods.names() and not methods.is_registered(name):
        raise UserError(f"{where}: {name} is a method of this package; choose another name")
    methods.register(name, method)
    resolution.schema.cache_clear()  # of the method that had this name


def run(
    method: str, clip: Backbone, data: FewShotDataset, images: Images, chosen: settings.Settings,
    features: TeacherFeatures, store: Checkpoint | None, progress: bool, on_epoch: Callable[[Row], None] | None,
    cuda_graphs: bool,
) -> training.FitResult:  # fmt: skip
    """Make the same calls as the stage `train`, on data in memory."""
    task, loaders = task_and_loaders(clip, data, images, chosen, features)
    bar = bars.Bar(f"{data.name} {method} seed {data.seed}", 0, "epoch") if progress else None

    def tell(row: Row) -> None:
        if bar:
            bar.tell(in_words(row))
        if on_epoch:
            on_epoch(row)

    return training.fit(
        method,
        task,
        loaders,
        chosen.config,
        shots=data.shots,
        store=store,
        progress=bar or iter,
        on_epoch=tell,
        cuda_graphs=cuda_graphs,
    )


def task_and_loaders(
    clip: Backbone, data: FewShotDataset, images: Images, chosen: settings.Settings, features: TeacherFeatures
) -> tuple[FewShotTask, dict[str, FewShotLoader]]:
    """Return what training takes: the task, and a loader each for `train` and `val`."""
    pixels = {split: [to_tensor(image) for image in found] for split, found in images.items()}
    labels = {split: getattr(data, split).labels for split in SPLITS}
    optimizer = getattr(chosen.config, "optimizer", None)
    loaders = training.make_loaders(
        clip, pixels, labels, features.images, seed=data.seed, optimizer=optimizer, augment=chosen.augment
    )
    classes = {name: value.to(clip.device) for name, value in features.classes.items()}
    task = FewShotTask(clip, data.template, list(data.classes), classes["features"], data.seed, classes["zero_shot"])
    return task, loaders


def token_effects(
    clip: Backbone,
    data: FewShotDataset,
    *,
    preset: Preset | None = None,
    features: TeacherFeatures | None = None,
    **changed: Any,
) -> TokenEffects:
    """Compare saliency criteria with the true effect of removing each token.

    The effect is measured just before `adapt` first prunes.

    Args:
        clip: the frozen CLIP, from `load_clip`.
        data: the images, from `load_dataset(…).few_shot(shots=…, seed=…)`.
        preset: as for `fit`.
        features: the frozen model's features, from `teacher_features`; computed where none are given.
        **changed: settings of `adapt`, as for `fit`.

    Returns:
        `scores`, of every criterion [n], and `effects` [n]: by how much the loss over the training images rises without
        the token. n tokens, those of the text tower first, layer by layer.

    Raises:
        UserError: as `fit`, and where `adapt` removes no token under these settings.
    """
    where = "adapt.token_effects"
    check(clip, data, where)
    expect(features, TeacherFeatures | None, f"{where}: features", "teacher_features(clip, data)")
    chosen = settings.resolve("adapt", clip, data, preset, changed)
    with signals.installed():
        images = decode(data)
        expected = describe(clip, data, images, chosen.augment, chosen.teacher)
        if features is None:
            features = compute(clip, data, images, chosen.augment, chosen.teacher, expected)
        else:
            match(features, expected, where)
        with numerics.fixed(clip):
            task, loaders = task_and_loaders(clip, data, images, chosen, features)
            return measure(task, loaders, chosen.config, shots=data.shots)


def match(features: TeacherFeatures, expected: Mapping[str, Any], where: str) -> None:
    """Raise UserError for features of another CLIP, other images or settings."""
    if features.made_from != expected:
        wrong = next(key for key, value in expected.items() if features.made_from.get(key) != value)
        raise UserError(
            f"{where}: features: these were made with another {wrong}; make them with teacher_features(clip, data) "
            "and preset, augment and teacher as here"
        )


def remarks(method: str, clip: Backbone, data: FewShotDataset, chosen: settings.Settings) -> list[str]:
    """Return warnings for the caller before the fit starts, a sentence each.

    Raises:
        UserError: for two classes with the same text.
    """
    found = [*data.remarks(), *twins.check(clip.tokenize, data)]
    if warning := resolution.config_warning(method, clip.name, chosen.config):
        found.append(warning)
    return [f"{method} on {data.name}: {remark}" for remark in found]
