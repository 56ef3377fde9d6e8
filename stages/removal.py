"""Compare each saliency criterion with the true effect of removing tokens.

Run it by `python -m stages.removal`, on what `dvc repro` has cached. Like the studies, it is not a stage of dvc.yaml.
The report draws its results from reports/studies/.
"""

import time
from functools import partial
from typing import Any

import pandas as pd

from adapt.clip.backbone import Backbone
from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig
from adapt.pipeline import backbone as backbones
from adapt.pipeline import fewshot, method_configs, stage, study, train
from adapt.pipeline.seeds import for_each_seed
from adapt.report.token_effects import COMMAND, NAME
from adapt.training.token_effects import TokenEffects, measure, rank_correlations


def main(
    preset: str,
    shots: int,
    datasets: list[str],
    seeds: list[int],
    backbone: BackboneConfig,
    augment: AugmentConfig,
    runtime: RuntimeConfig,
) -> None:
    """Write a row per dataset, seed and criterion.

    A row says how the criterion's scores agree with the effect of removal on the loss.
    """
    start, frozen = time.perf_counter(), backbones.load(backbone, runtime)
    rows = []
    for dataset in datasets:
        work = partial(of_seed, dataset, augment)
        found = for_each_seed(work, seeds, runtime, frozen, len(fewshot.describe(dataset).classes))
        for seed, one in zip(seeds, found, strict=True):
            rows += [{"dataset": dataset, "seed": seed, **row} for row in rank_correlations(one)]
        stage.log(f"removal {dataset}: {len(found[0].effects)} tokens for seeds {seeds}")
    made = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights[:10], "shots": shots}
    record = {"command": COMMAND, "commit": study.commit(), **made}
    study.write(NAME, {**record, "seconds": round(time.perf_counter() - start, 1)}, pd.DataFrame(rows))


def of_seed(dataset: str, augment: AugmentConfig, backbone: Backbone, seed: int) -> TokenEffects:
    """Measure the effects of `adapt`'s tokens on one seed of a dataset."""
    config: Any = method_configs.read(dataset, "adapt")
    task = train.read_task(backbone, dataset, seed)
    loaders = train.read_loaders(backbone, dataset, seed, config.optimizer, augment)
    return measure(task, loaders, config, shots=fewshot.describe(dataset).shots)


if __name__ == "__main__":
    stage.run(main)
