"""Load an open_clip model with its weights, from an open_clip tag or a file.

A file is .safetensors, .pt or OpenAI's JIT archive.
"""

import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch

from adapt.clip import model_configs
from adapt.errors import UserError, nearest

SETTINGS = ("input_resolution", "context_length", "vocab_size")  # entries of OpenAI's archives that are no weights


def read(name: str, pretrained: str, device: torch.device) -> Any:
    """Load the model `name` (open_clip.CLIP or CustomTextCLIP) in float32.

    Raises: UserError for weights that are missing, broken, of another architecture or trained with the other GELU, and
        for a text tower that the encoders cannot run.
    """
    if name not in model_configs.config_paths():
        raise UserError(f"name: unknown backbone {name!r}; {nearest(name, model_configs.list_models())}")
    path = model_configs.config_paths()[name]
    if path.parent == model_configs.FOLDER:
        open_clip.add_model_config(path)
    if why := model_configs.unsupported_reason(name):
        raise UserError(f"name: {name} cannot be used: {why}; give a CLIP such as ViT-B-16")
    file = Path(pretrained)
    with untouched():
        model = from_file(name, file, pretrained, device) if file.is_file() else from_tag(name, pretrained, device)
    check_resize(name, model)
    return model


@contextmanager
def untouched() -> Iterator[None]:
    """Leave the caller's random state and logging unchanged while a model is loaded.

    open_clip draws random weights and logs through the root logger. Conversely, the caller's inference mode and default
    dtype do not affect the weights. Logging is off, since every failed download attempt would log a line; the final
    error says it once.
    """
    handlers, disabled, dtype = logging.root.handlers[:], logging.root.manager.disable, torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    logging.disable(logging.ERROR)
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            yield
    finally:
        torch.set_default_dtype(dtype)
        logging.root.handlers[:] = handlers
        logging.disable(disabled)


def from_file(name: str, path: Path, given: str, device: torch.device) -> Any:
    """Load a model with the weights of a file; `given` is the caller's name for it."""
    archive = is_archive(str(path))
    if archive:
        check_gelu(name, True, f"{given} is an archive of OpenAI's, whose weights were")
    try:
        if not archive:
            return open_clip.create_model(name, pretrained=str(path), device=device, precision="fp32")
        model = untrained(name, device)
        model.load_state_dict(read_archive(str(path)))
        return model
    except Exception as error:  # torch does not document its errors for a broken file
        raise UserError(
            f"pretrained: cannot load {given} as weights of {name} ({brief(error)}); "
            "give weights of that architecture, or the name that belongs to them"
        ) from None


def from_tag(name: str, tag: str, device: torch.device) -> Any:
    """Load a model with the weights of an open_clip tag, downloaded if necessary."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    if "/" in tag or (tag not in tags and Path(tag).suffix):
        raise UserError(f"pretrained: there is no file {tag}; give a file or an open_clip tag")
    if tag not in tags:
        hint = nearest(tag, tags) if tags else "it has no tags, give a file"
        raise UserError(f"pretrained: {name} has no weights called {tag!r}; {hint}")
    config = open_clip.get_pretrained_cfg(name, tag)
    check_gelu(name, bool(config.get("quick_gelu")), f"the weights {tag} were")
    try:
        return open_clip.create_model(name, pretrained=tag, device=device, precision="fp32")
    except Exception as error:  # torch does not document its errors for a broken file
        raise UserError(
            f"pretrained: cannot get {tag} for {name} ({brief(error)}); with no connection, "
            "download the weights elsewhere and give the file"
        ) from None


def check_gelu(name: str, quick: bool, said: str) -> None:
    """Refuse weights trained with the other GELU: they load, but score a little worse."""
    if bool(model_configs.get_model_config(name).get("quick_gelu")) == quick:
        return
    suffix = "-quickgelu"
    other = f"{name}{suffix}" if quick else name.removesuffix(suffix)
    known = other != name and other in model_configs.config_paths()
    way = f"take {other} instead" if known else "give other weights, or a model with that GELU"
    raise UserError(
        f"name: {said} trained with the {'quick' if quick else 'exact'} GELU, which {name} does not have; {way}"
    )


def check_resize(name: str, model: Any) -> None:
    """Refuse a model whose images have to be resized in another way than views are."""
    config = model.visual.preprocess_cfg
    wanted = config["resize_mode"], config["interpolation"]
    if wanted != ("shortest", "bicubic"):
        raise UserError(
            f"name: {name} expects images resized by {' and '.join(wanted)}, but here they are resized by shortest and "
            "bicubic, as for CLIP; give another backbone"
        )


def is_archive(path: str) -> bool:
    """Return whether a file is a TorchScript archive, as OpenAI publishes its weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(entry.endswith("/constants.pkl") for entry in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):  # no archive, or a broken one that loading refuses
        return False


def read_archive(path: str) -> dict[str, torch.Tensor]:
    """Read the weights in a TorchScript archive without running its code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated, but the archives remain
        weights = torch.jit.load(path, map_location="cpu").state_dict()
    return {key: value for key, value in weights.items() if key not in SETTINGS}


def untrained(name: str, device: torch.device) -> Any:
    """Create an open_clip model with random weights, without the warning about them."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return open_clip.create_model(name, device=device, precision="fp32")
    finally:
        logging.disable(disabled)


def brief(error: Exception) -> str:
    """Return an error's type and message on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
