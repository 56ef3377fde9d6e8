"""Decode the test images of a dataset once, for the evaluation of all methods."""

from adapt.clip import model_configs
from adapt.config import BackboneConfig, RuntimeConfig
from adapt.data import catalog
from adapt.pipeline import fewshot, image_cache, stage
from adapt.pipeline.params import DataConfig
from adapt.runtime import progress


def main(dataset: str, data: DataConfig, backbone: BackboneConfig, runtime: RuntimeConfig) -> None:
    """Write data/pack/<dataset>/."""
    source, size = catalog.load(dataset, data.folder), model_configs.image_size(backbone.name)
    bar = progress.Bar(f"pack {dataset}", 0, "image")
    paths = [sample.path for sample in fewshot.read(dataset, None, "test")]
    count = image_cache.write(source, paths, size, processes=runtime.num_workers, progress=bar)
    stage.log(f"pack {dataset}: {count} test images at {size} × {size}")


if __name__ == "__main__":
    stage.run(main)
