"""Tune CLIP on a folder of pictures, with a subfolder for each class."""

import argparse
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

import adapt
from adapt.api.checks import free
from adapt.clip.model_configs import POCKET
from adapt.data import splits
from adapt.data.dataset import center_crop
from adapt.errors import UserError
from adapt.pipeline import stage
from adapt.runtime import files
from adapt.runtime.formats import fingerprint

if TYPE_CHECKING:
    from adapt.api.model import Model
    from adapt.data.dataset import Dataset, FewShotDataset

SPLIT = "split.json"  # which images were trained on, and which were held out
BACKBONE, PRETRAINED = "ViT-B-16-quickgelu", "openai"
ARGUMENTS = {  # from the library's arguments, as its messages name them, to ours; the first match counts
    "adapt.load_dataset: template": "--template",
    "adapt.load_dataset: ": "FOLDER: ",
    "few_shot: ": "--",
    "adapt.load_clip: name": "--backbone",
    "adapt.load_clip: ": "--",
    "adapt.fit: unknown method": "--method: unknown method",
    "adapt.fit: ": "",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the arguments."""
    command = commands.add_parser(
        "tune",
        help="tune CLIP on your own pictures",
        description=f"""{__doc__} Half of each class's pictures are for training, of which it takes --shots, a fifth
            are for validation, and the others are for measuring the accuracy. It changes nothing in the folder. After
            Ctrl-C the same command resumes.""",
    )
    command.add_argument("pictures", metavar="FOLDER", help="or a CSV file with the columns path and label")
    command.add_argument("-o", "--output", metavar="RUN", required=True, help="a new folder for the tuned model")
    command.add_argument("--method", default="adapt", help="adapt, or a baseline, such as coop (default: adapt)")
    command.add_argument("--shots", type=int, default=16, help="training pictures of each class (default: 16)")
    command.add_argument("--seed", type=int, default=1, help="draws pictures and initial prompts (default: 1)")
    command.add_argument(
        "--backbone", default=BACKBONE, metavar="NAME",
        help=f"open_clip's name of a CLIP, or pocket, a tiny one for icons and characters (default: {BACKBONE})",
    )  # fmt: skip
    command.add_argument(
        "--pretrained", metavar="WEIGHTS", help=f"its weights: open_clip's tag, or a file (default: {PRETRAINED})"
    )
    command.add_argument("--template", help='the text around a class name (default: "a photo of a {}.")')
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 … (default: a GPU where there is one)")
    command.add_argument(
        "-S", "--set", dest="settings", metavar="KEY=VALUE", action="append", default=[],
        help="a setting of the method, such as optimizer.lr=0.01; may be repeated",
    )  # fmt: skip
    command.add_argument("--force", action="store_true", help="replace the model in RUN")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Tune a model.

    Raises:
        UserError: for a mistake in the arguments; the message names the argument.
    """
    try:
        tune(arguments)
    except UserError as error:
        lines = str(error).splitlines()
        for call, argument in ARGUMENTS.items():
            lines = [argument + line.removeprefix(call) if line.startswith(call) else line for line in lines]
        raise UserError("\n".join(lines)) from None


def tune(arguments: argparse.Namespace) -> None:
    """Tune a model, measure its accuracy and that of the frozen CLIP, write the run."""
    start = time.perf_counter()
    output, changed = new_run(arguments.output, arguments.force), parse(arguments.settings)
    pictures = adapt.load_dataset(Path(arguments.pictures), template=arguments.template)
    data = pictures.few_shot(shots=arguments.shots, seed=arguments.seed)
    weights = arguments.pretrained or (None if arguments.backbone == POCKET else PRETRAINED)
    clip = adapt.load_clip(arguments.backbone, weights, device=arguments.device)
    from adapt.api.settings import SHARED, resolve
    from adapt.training.metrics import accuracy

    chosen = resolve(arguments.method, clip, data, None, changed)
    data = hold(data)
    parts = f"{len(data.train)} images to train on, {len(data.val)} to validate, {len(data.test)} held out"
    stage.log(f"{data.name}: {len(data.classes)} classes, {parts}")
    state = output.with_name(f".{output.name}.state")  # the state of a tuning that was stopped
    shared = {name: changed[name] for name in SHARED if name in changed}
    features = adapt.teacher_features(clip, data, checkpoint=state / "features", progress=True, **shared)
    # before the tuning, so that images that cannot be read are reported first
    frozen = adapt.fit("zero_shot", clip, data, features=features, progress=False, **shared)
    zero_shot = accuracy(classify(frozen, data), data.test.labels)
    fitted = state / f"fitted-{fingerprint(features.made_from, arguments.method, chosen.config.model_dump())[:16]}"
    if not fitted.is_dir():
        model = adapt.fit(arguments.method, clip, data, features=features, checkpoint=state / "fit", **changed)
        model.save(fitted)
    model = adapt.load(fitted, clip)
    found = write(output, fitted, model, pictures, data, zero_shot)
    shutil.rmtree(state)
    held_out = f"{100 * found:.1f} % on {len(data.test)} images held out, zero-shot {100 * zero_shot:.1f} %"
    lengths = "; ".join(f"{branch} {' '.join(map(str, counts))}" for branch, counts in model.lengths().items())
    stage.log(f"accuracy: {held_out}")
    stage.log(f"learned tokens by layer: {lengths}" if model.result.tokens else "no learned tokens")
    stage.log(f"time: {time.perf_counter() - start:.0f} s; now: adapt predict {arguments.output} IMAGE …")


def new_run(name: str, force: bool) -> Path:
    """Return the folder of the new run.

    Raises:
        UserError: if it cannot be written.
    """
    from adapt.training import run_folder

    path = Path(name).expanduser().resolve()
    free(path, "--output", "model", run_folder.is_run(path), force, "pass --force")
    path.parent.mkdir(parents=True, exist_ok=True)  # if this fails, then before the tuning rather than after it
    return path


def parse(settings: list[str]) -> dict[str, Any]:
    """Parse the settings into nested mappings, their values as YAML."""
    from omegaconf import OmegaConf

    if wrong := next((setting for setting in settings if not setting.partition("=")[1]), None):
        raise UserError(f"--set: expected KEY=VALUE, such as optimizer.lr=0.01, got {wrong!r}")
    return OmegaConf.to_container(OmegaConf.from_dotlist(settings))  # type: ignore[return-value]


def hold(data: "FewShotDataset") -> "FewShotDataset":
    """Return the dataset with the training and validation images held in memory.

    The teacher's features and each fit read them again.

    Raises:
        UserError: that names all images that cannot be read.
    """
    held, problems = {}, []
    for item in (*data.train, *data.val):
        try:
            held[item.path] = data.image(item.path)
        except UserError as error:
            problems.append(str(error))
    refuse(problems)
    return replace(data, read=lambda path: held[path].copy() if path in held else data.read(path))


def refuse(problems: Iterable[str]) -> None:
    """Raise UserError with all problems, if there are any."""
    if found := list(dict.fromkeys(problems)):
        raise UserError("\n".join(found))


def classify(model: "Model", data: "FewShotDataset") -> list[int]:
    """Return the predicted class of each held-out image.

    Raises:
        UserError: that names all images that cannot be read.
    """
    from adapt.api.stream import stream

    answers = stream(model, data.test, lambda item: center_crop(data.image(item.path), model.clip.image_size))
    found = list(tqdm(answers, desc=f"{data.name} {model.name}", total=len(data.test), unit="image", leave=False))
    refuse(answer.problem for answer in found if answer.problem)
    return [int(answer.probabilities.argmax()) for answer in found if answer.probabilities is not None]


def write(
    output: Path, fitted: Path, model: "Model", pictures: "Dataset", data: "FewShotDataset", zero_shot: float
) -> float:
    """Write the run, and return its accuracy.

    It holds the fitted model, the split of the pictures, and the predictions for the held-out images.
    """
    from adapt.training import run_folder

    made, guesses = model.made_from, classify(model, data)
    with files.atomic_dir(output) as building:
        shutil.copytree(fitted, building, dirs_exist_ok=True)
        splits.write(
            splits.Splits(*(list(part) for part in (pictures.train, pictures.val, pictures.test))), building / SPLIT
        )
        facts = {name: made[name] for name in ("preset", "backbone", "weights", "precision", "dataset", "method")}
        facts |= {"shots": data.shots, "split": "test", "seed": data.seed, "zero_shot": zero_shot}
        rows = model.result.lengths
        return run_folder.write_scores(building, data.test, guesses, rows, model.method.num_trainable(), facts)
