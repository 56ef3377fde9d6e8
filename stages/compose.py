"""Write params.yaml from conf/ without running anything.

python -m stages.compose preset=paper shots=8
"""

from adapt.pipeline import params, stage
from adapt.runtime import files
from adapt.settings.composition import compose


def main(overrides: list[str]) -> None:
    """Replace params.yaml by the composed params, if they are valid."""
    text = compose(overrides)
    params.parse(text, stage.PARAMS)
    with files.atomic_write(stage.PARAMS) as temporary:
        temporary.write_text(text, encoding="utf-8")
    stage.log(f"wrote {stage.PARAMS}")


if __name__ == "__main__":
    stage.run(main)
