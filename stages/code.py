"""List the source files of every stage: DVC does not look into scripts."""

from pathlib import Path

from adapt import methods
from adapt.pipeline import source_hashes, stage
from adapt.runtime import files, formats


def main() -> None:
    """Write data/code/, for every script beside this one."""
    stages = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if path != Path(__file__))
    made = source_hashes.stage_manifests(stages, methods.names())
    with files.atomic_dir(source_hashes.ROOT) as root:
        for name, hashes in made.items():
            formats.write_json(root / f"{name}.json", hashes)
    stage.log(f"code: listed the sources of {', '.join(stages)}")


if __name__ == "__main__":
    stage.run(main)
