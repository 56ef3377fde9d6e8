"""Tables, metrics, plot data and figures from every run that params name; reports/ changes only when all are drawn."""

from pathlib import Path

from adapt import artefacts, params, stage
from adapt.report import figures, runs, series, tables

OUT = Path("reports")


def main(
    preset: str,
    shots: int,
    seeds: list[int],
    datasets: list[str],
    methods: list[str],
    backbone: params.Backbone,
    evaluate: params.Evaluate,
) -> None:
    found = runs.read(
        Path("runs"), datasets=datasets, methods=methods, seeds=seeds,
        preset=preset, backbone=backbone.name, shots=shots, split=evaluate.split,
    )  # fmt: skip
    with (
        artefacts.folder(OUT / "tables") as table_folder,
        artefacts.folder(OUT / "plots") as plot_folder,
        artefacts.folder(OUT / "figures") as figure_folder,
    ):
        tables.accuracy(found).to_csv(table_folder / "accuracy.csv", index=False)
        (table_folder / "accuracy.md").write_text(tables.markdown(found))
        for name, table in series.by_name(found).items():
            table.to_csv(plot_folder / f"{name}.csv", index=False, float_format="%.6g")
        for name, draw in figures.FIGURES.items():
            draw(found).savefig(figure_folder / f"{name}.png")
    artefacts.write_json(OUT / "metrics.json", tables.metrics(found))
    stage.say(f"report: {len(found.results)} runs; {OUT}/tables/accuracy.md and {len(figures.FIGURES)} figures")


if __name__ == "__main__":
    stage.run(main)
