"""Run a study of conf/studies.yaml as DVC experiments and gather the results.

    python -m stages.study shots preset=paper

This is not a stage of dvc.yaml: it calls `dvc exp run` for every point of the study's grid. `dvc repro report` then
draws the results.
"""

from adapt.errors import UserError
from adapt.pipeline import stage, study


def main(overrides: list[str]) -> None:
    """Run the study named by the first argument.

    The other arguments are passed to every experiment as `-S`.
    """
    if not overrides:
        raise UserError(f"name a study: python -m stages.study NAME; known: {', '.join(study.load())}")
    name, *more = overrides
    for line in study.run(name, more):
        stage.log(line)
    stage.log(f"gathered in {study.FOLDER}/{name}.csv; draw it with `dvc repro report`")


if __name__ == "__main__":
    stage.run(main)
