"""Fingerprint the inputs outside the repository: weights and datasets.

The stage runs at every `dvc repro`; the stages after it run only if something has changed.
"""

from adapt.config import BackboneConfig
from adapt.pipeline import fingerprints, stage
from adapt.pipeline.params import DataConfig
from adapt.runtime import files, formats


def main(datasets: list[str], data: DataConfig, backbone: BackboneConfig) -> None:
    """Write data/inputs/."""
    cache = fingerprints.HashCache()
    with files.atomic_dir(fingerprints.ROOT) as root:
        weights = fingerprints.of_backbone(backbone.name, backbone.pretrained, cache)
        formats.write_json(root / "backbone.json", weights)
        for dataset in datasets:
            images = fingerprints.of_dataset(dataset, data.folder, cache)
            formats.write_json(root / fingerprints.file(dataset).relative_to(fingerprints.ROOT), images)
            listing = fingerprints.of_listing(dataset, data.folder)
            formats.write_json(root / "listings" / f"{dataset}.json", listing)
    cache.save()
    stage.log(f"inputs: looked at the weights and {len(datasets)} datasets")


if __name__ == "__main__":
    stage.run(main)
