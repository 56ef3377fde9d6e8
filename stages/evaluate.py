"""Score a tuned method on a whole split; complete its run folder with metrics and predictions."""

from itertools import chain

import torch

from adapt import clip, fewshot, parallel, params, runs, stage, tuning
from adapt.checkpoint import Checkpoint


def main(
    dataset: str,
    method: str,
    preset: str,
    shots: int,
    seeds: list[int],
    backbone: params.Backbone,
    evaluate: params.Evaluate,
    runtime: params.Runtime,
) -> None:
    """Write runs/<dataset>/<method>/seed_<s>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.load(backbone.name, backbone.pretrained, runtime.device)
    splits = {seed: fewshot.read(dataset, seed, evaluate.split) for seed in seeds}
    pixels = tuning.read_pixels(dataset, chain(*splits.values()), frozen.size)

    stores = {}
    for seed in seeds:
        inputs = [evaluate.model_dump(), frozen.weights, splits[seed], tuning.prompts(dataset, method, seed)]
        stores[seed] = Checkpoint.of(f"evaluate/{dataset}-{method}-{seed}", runtime.checkpoint_seconds, *inputs)
    stage.say_kept(f"evaluate {dataset} {method}", stores.values())

    def predict(seed: int) -> tuple[list[int], int]:
        tuned = tuning.restore(method, tuning.make_task(frozen, dataset, seed), dataset)
        chosen = [pixels[item.path] for item in splits[seed]]
        return tuning.predict(tuned, frozen, chosen, evaluate.batch, stores[seed]), tuned.trainable()

    predicted = parallel.for_each(predict, seeds, processes=runtime.processes, device=frozen.device)
    facts = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights}
    facts |= {"dataset": dataset, "method": method, "shots": shots, "split": evaluate.split}
    scores = runs.write(dataset, method, splits, dict(zip(seeds, predicted, strict=True)), facts)
    for store in stores.values():
        store.clear()
    accuracies = ", ".join(f"{score:.3f}" for score in scores)
    stage.say(f"evaluate {dataset} {method}: accuracy {accuracies} on {evaluate.split} for seeds {seeds}")


if __name__ == "__main__":
    stage.run(main)
