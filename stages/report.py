"""Write tables, metrics, plot data, figures and a page of all runs in the params.

They are all replaced together, or none is.
"""

import warnings
from pathlib import Path

import pandas as pd

from adapt import config
from adapt.pipeline import stage
from adapt.report import (
    aggregate,
    claims,
    figures,
    fonts,
    load,
    page,
    plot_data,
    published,
    statistics,
    studies,
    study_figures,
    tables,
    token_effects,
)
from adapt.report.formatting import Table
from adapt.runtime import files, formats

OUT = Path("reports")
Numbers = dict[str, tuple[pd.DataFrame, Table]]  # by name: the content of the CSV file, and the table as readers see it


def main(
    preset: str,
    shots: int,
    seeds: list[int],
    datasets: list[str],
    methods: list[str],
    backbone: config.BackboneConfig,
    evaluate: config.EvaluateConfig,
) -> None:
    found = load.read(
        Path("runs"), datasets=datasets, methods=methods, seeds=seeds,
        preset=preset, backbone=backbone.name, shots=shots, split=evaluate.split,
    )  # fmt: skip
    facts = published.read()
    gathered, absent = studies.read(found)
    removal = token_effects.read(found)
    numbers, of_studies = make_tables(found, facts, gathered), study_figures.by_name(gathered)
    if isinstance(removal, str):
        absent[token_effects.NAME] = removal
    else:
        numbers[token_effects.NAME] = removal.rows, token_effects.show(removal)
        spec = study_figures.Spec(token_effects.TITLE, removal.caption, token_effects.draw)
        of_studies[token_effects.NAME] = spec, removal
    with (
        files.atomic_dir(OUT / "tables") as table_folder,
        files.atomic_dir(OUT / "plots") as plot_folder,
        files.atomic_dir(OUT / "figures") as figure_folder,
        files.atomic_write(OUT / "index.html") as index,
    ):
        for name, (frame, table) in numbers.items():
            frame.to_csv(table_folder / f"{name}.csv", index=False)
            for form in ("md", "tex"):
                (table_folder / f"{name}.{form}").write_text(table.render(form), encoding="utf-8")
        for name, frame in {**plot_data.by_name(found), "studies": studies.all_curves(gathered)}.items():
            frame.to_csv(plot_folder / f"{name}.csv", index=False, float_format="%.6g")
        drawn = {name: spec.draw(found) for name, spec in figures.FIGURES.items()}
        drawn |= {name: spec.draw(study) for name, (spec, study) in of_studies.items()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", fonts.WARNING)  # logged below, once
            for name, figure in drawn.items():
                figure.savefig(figure_folder / f"{name}.png")
        text = page.render(
            found, claims.judge(facts["claims"], claims.Evidence(found, gathered, absent)), facts["sources"],
            {name: spec for name, spec in figures.FIGURES.items() if name != "overview"},
            {name: spec for name, (spec, _) in of_studies.items()},
            {name: figure.get_size_inches()[0] for name, figure in drawn.items()}, absent,
            {name: table for name, (_, table) in numbers.items()}, published.why_not(found),
        )  # fmt: skip
        index.write_text(text, encoding="utf-8")
    formats.write_json(OUT / "metrics.json", aggregate.metrics(found))
    if lost := frozenset().union(*map(fonts.lost, drawn.values())):
        stage.log(
            f"report: no installed font has {''.join(sorted(lost))}: install one, such as Noto Sans of that script"
        )
    for line in load.shorten(found.missing):
        stage.log(f"report: left empty: {line}")
    stage.log(f"report: {len(found.results)} of {found.asked} runs; {OUT}/index.html with {len(drawn)} figures")


def make_tables(found: load.Runs, facts: dict, gathered: dict[str, studies.StudyResult]) -> Numbers:
    """Return all tables that can be made from these runs and studies."""
    numbers: Numbers = {
        "accuracy": (aggregate.accuracy(found), tables.accuracy(found)),
        "cost": (aggregate.cost(found), tables.cost(found)),
    }
    if aggregate.ADAPT in found.methods and len(found.methods) > 1:
        numbers["significance"] = (
            statistics.compare(aggregate.accuracy(found), aggregate.ADAPT),
            tables.significance(found),
        )
    if not published.why_not(found):
        beside, by_shots = published.beside(facts, found), published.beside_by_shots(facts, gathered.get("shots"))
        numbers["published"] = beside, published.show(facts, beside, found)
        numbers["published_by_shots"] = by_shots, published.show_by_shots(facts, by_shots, found)
    return numbers | {name: (study.runs, studies.show(study)) for name, study in gathered.items()}


if __name__ == "__main__":
    stage.run(main)
