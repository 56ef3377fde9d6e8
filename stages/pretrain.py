"""Pre-train the pocket CLIP and write its weights.

Beside the weights, write the log, the training curve and the scores that the model card quotes.
"""

from pathlib import Path

import torch

from adapt import config as params
from adapt.clip import backbone as clip
from adapt.clip import model_configs
from adapt.data import builtin
from adapt.pipeline import stage
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.pretraining import probe
from adapt.pretraining.augment import Pictures
from adapt.pretraining.captions import Captions, subjects
from adapt.pretraining.contrastive import Schedule, build, draw_log, expand, train
from adapt.runtime import formats, progress

NAME = "pocket"
SAVE_EVERY = 120.0  # seconds
WEIGHTS = Path("models", f"{NAME}.safetensors")


def main(pretrain: params.PretrainConfig) -> None:
    config, settings = model_configs.get_model_config(NAME), pretrain.model_dump()
    schedule = Schedule(*(settings.pop(key) for key in Schedule._fields))
    drawings = subjects(settings.pop("families"))
    precision = "bfloat16" if clip.has_bfloat16(torch.device("cpu")) else "float32"
    captions = Captions(drawings)
    stage.log(f"pretrain: {len(drawings)} glyphs, {len(captions.vocabulary)} tokens, matrix products in {precision}")
    model = build(config, captions.length, len(captions.vocabulary), pretrain.seed)
    checkpoint = open_checkpoint(f"pretrain/{NAME}", SAVE_EVERY, pretrain.model_dump(), config, precision)
    bar = progress.Bar("pretrain", 0, "step")
    log = train(model, Pictures(drawings, captions), schedule, checkpoint, precision=precision, bar=bar, **settings)
    weights = {key: value.half() for key, value in expand(model, captions.vocabulary, config).items()}
    formats.write_tensors(WEIGHTS, weights, {"format": "pt", "pretrain": pretrain.model_dump(), "precision": precision})
    formats.write_csv(WEIGHTS.with_suffix(".csv"), log[0], log)
    draw_log(log, WEIGHTS.with_suffix(".png"))
    backbone = clip.load(NAME, str(WEIGHTS), "cpu")
    scores = [probe.score(backbone, builtin.load(name), "test") for name in builtin.NAMES]
    formats.write_csv(WEIGHTS.with_name(f"{NAME}_scores.csv"), scores[0], scores)
    checkpoint.clear()


if __name__ == "__main__":
    stage.run(main)
