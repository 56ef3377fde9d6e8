"""Set each saliency criterion against the true effect of removing tokens, by `python -m stages.removal`.

It takes what `dvc repro` has cached. Not a stage of dvc.yaml: it stands beside the study of the criteria, and the
report draws what it leaves in reports/studies/.
"""

import time
from functools import partial

import pandas as pd
import torch

from adapt import config
from adapt.clip import backbone as clip
from adapt.data import catalog
from adapt.pipeline import method_configs, params, stage, study
from adapt.report import token_effects as foretold
from adapt.runtime import workers
from adapt.training import token_effects


def main(
    preset: str,
    shots: int,
    datasets: list[str],
    seeds: list[int],
    data: params.DataConfig,
    backbone: config.BackboneConfig,
    views: config.AugmentConfig,
    runtime: config.RuntimeConfig,
) -> None:
    """Write a row per dataset, seed and criterion: how its scores agree with what removal does to the loss."""
    torch.set_num_threads(1)  # the seeds run side by side
    start, frozen = time.perf_counter(), clip.from_params(backbone, runtime)
    rows = []
    for dataset in datasets:
        source, settled = catalog.load(dataset, data.home), method_configs.read(dataset, "adapt")
        work = partial(token_effects.measure, frozen, source, settled, views)
        found = workers.for_each(work, seeds, processes=runtime.parallel_seeds, device=frozen.device)
        for seed, one in zip(seeds, found, strict=True):
            rows += [{"dataset": dataset, "seed": seed, **row} for row in token_effects.rank_correlations(one)]
        stage.log(f"removal {dataset}: {len(found[0].effects)} tokens for seeds {seeds}")
    made = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights[:10], "shots": shots}
    record = {"command": foretold.COMMAND, "commit": study.commit(), **made}
    study.write(foretold.NAME, {**record, "seconds": round(time.perf_counter() - start, 1)}, pd.DataFrame(rows))


if __name__ == "__main__":
    stage.run(main)
