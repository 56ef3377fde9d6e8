"""Short pre-training runs for choosing the pocket CLIP's architecture and recipe.

    python -m benchmarks.pretrain steps=1000 warmup=100 decay=300 quick_gelu=true vision_cfg.head_width=64
    python -m benchmarks.pretrain steps=300 warmup=30 decay=270 lr=5e-4 start=models/pocket.safetensors
    python -m benchmarks.pretrain score=models/pocket.safetensors

Arguments change conf/pretrain.yaml or adapt/clip/model_configs/pocket.json. With `start`, training continues from
weights of the same shapes, since the first thousand steps of a fresh model say little about its final quality. With
`score`, weights are only scored.

A run adds a row to reports/search/pretrain.csv: the changes, seconds, and accuracies on the val splits; the linear
probe's is the mean over the datasets. Test is not read. A run that was killed resumes when started again.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file

from adapt.clip import backbone as clip
from adapt.clip import model_configs, weights
from adapt.config import PretrainConfig
from adapt.data import builtin
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.pretraining import probe
from adapt.pretraining.augment import Pictures
from adapt.pretraining.captions import Captions, subjects
from adapt.pretraining.contrastive import Schedule, build, expand, go_on, train
from adapt.runtime import progress, yaml
from adapt.runtime.checkpoint import Checkpoint
from adapt.settings import resolution
from benchmarks.search import ROOT, write

NAME = "pocket-variant"


def changed(arguments: list[str]) -> tuple[PretrainConfig, dict[str, Any]]:
    """Return the recipe and the architecture, changed by `key=value` arguments."""
    recipe = yaml.parse(Path("conf/pretrain.yaml").read_text(encoding="utf-8"))["pretrain"]
    config = model_configs.get_model_config("pocket")
    for argument in arguments:
        key, _, text = argument.partition("=")
        value = yaml.parse(text)
        for name in reversed(key.split(".")):
            value = {name: value}
        if key.partition(".")[0] in PretrainConfig.model_fields:
            recipe = resolution.merge(recipe, value)
        else:
            config = resolution.merge(config, value)
    return PretrainConfig.model_validate(recipe), config


def backbone_of(state: dict[str, torch.Tensor], config: dict[str, Any]) -> clip.Backbone:
    """Return a frozen CLIP of an architecture that has no name yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{NAME}.json")
        path.write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(path)
        model = weights.untrained(NAME, torch.device("cpu"))
    model.load_state_dict(state)
    return clip.freeze(NAME, model, torch.device("cpu"))


def pretrained(arguments: list[str], start: str | None) -> tuple[clip.Backbone, dict[str, Any], Checkpoint]:
    """Train a model; return it, the run's part of a row, and its checkpoint.

    The checkpoint is of no use once the row is written.
    """
    pretrain, config = changed(arguments)
    settings = pretrain.model_dump()
    schedule = Schedule(*(settings.pop(key) for key in Schedule._fields))
    drawings = subjects(settings.pop("families"))
    captions = Captions(drawings)
    pictures = Pictures(drawings, captions)
    model = build(config, captions.length, len(captions.vocabulary), pretrain.seed)
    if start:
        go_on(model, captions.vocabulary, load_file(start))
    precision = "bfloat16" if clip.has_bfloat16(torch.device("cpu")) else "float32"
    checkpoint = open_checkpoint(f"pretrain/{NAME}", 300, pretrain.model_dump(), config, precision, start)
    bar = progress.Bar("pretrain", 0, "step")
    before = time.process_time()
    log = train(model, pictures, schedule, checkpoint, precision=precision, bar=bar, **settings)
    row = {
        "steps": schedule.steps,
        "loss": log[-1]["loss"],
        "cpu_seconds_a_step": (time.process_time() - before) / schedule.steps,
        "seconds": round(sum(line["seconds"] for line in log)),
    }
    return backbone_of(expand(model, captions.vocabulary, config), config), row, checkpoint


def main() -> None:
    torch.set_num_threads(1)
    files = dict(text.split("=", 1) for text in sys.argv[1:] if text.startswith(("start=", "score=")))
    arguments = [text for text in sys.argv[1:] if not text.startswith(("start=", "score="))]
    run: dict[str, Any]
    checkpoint: Checkpoint | None
    if "score" in files:
        backbone = backbone_of(load_file(files["score"]), changed(arguments)[1])
        run, checkpoint = dict.fromkeys(("steps", "loss", "cpu_seconds_a_step", "seconds")), None
    else:
        backbone, run, checkpoint = pretrained(arguments, files.get("start"))
    seconds = run.pop("seconds")
    scores = [probe.score(backbone, builtin.load(name), "val") for name in builtin.NAMES]
    row: dict[str, Any] = {
        "settings": " ".join(sys.argv[1:]),
        **run,
        "zero_shot": mean(score["zero_shot"] for score in scores),
        "linear_probe": mean(score["linear_probe"] for score in scores),
    }
    row |= {score["dataset"]: score["zero_shot"] for score in scores}
    write(ROOT / "pretrain.csv", row, seconds)
    if checkpoint:
        checkpoint.clear()


if __name__ == "__main__":
    main()
