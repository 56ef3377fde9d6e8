"""The library computes the pipeline's tensors, lengths, traces and predictions."""

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import adapt
from adapt.__main__ import parser
from tests.project import checkout, environment

DATASETS, SHOTS, SEED = ("digits", "phosphor"), 2, 3
METHODS = ("adapt", "coop", "promptsrc", "linear_probe", "tip_adapter", "clip_lora")
ITEMS = [(dataset, method) for dataset in DATASETS for method in METHODS]
STAGES = """
import sys
from pathlib import Path
from adapt.pipeline import stage
from stages import compose, configure, evaluate, inputs, pack, sample, teacher, train

datasets, methods, *overrides = sys.argv[1:]
compose.main([f"datasets=[{datasets}]", f"methods=[{methods}]", *overrides])
for main in (configure.main, inputs.main):
    main(**stage.bind_arguments(main, []))
for dataset in datasets.split(","):
    for main in (sample.main, pack.main, teacher.main):
        main(**stage.bind_arguments(main, [f"dataset={dataset}"]))
    for method in methods.split(","):
        for main in (train.main, evaluate.main):
            main(**stage.bind_arguments(main, [f"dataset={dataset}", f"method={method}"]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The runs that the stages write in a checkout, with the settings of conf/."""
    folder = checkout(tmp_path_factory.mktemp("stages") / "adapt")
    given = [",".join(DATASETS), ",".join(METHODS), f"shots={SHOTS}", f"seeds=[{SEED}]"]
    done = subprocess.run(
        ["python", "-c", STAGES, *given], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs"


@pytest.fixture(scope="module")
def models(clip) -> dict[tuple[str, str], adapt.Model]:
    """The models that the library fits, while the caller has two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    found = {}
    for dataset in DATASETS:
        data = adapt.load_dataset(dataset).few_shot(shots=SHOTS, seed=SEED)
        found |= {(dataset, method): adapt.fit(method, clip, data, progress=False) for method in METHODS}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    return found


@pytest.mark.parametrize("item", ITEMS, ids="-".join)
@pytest.mark.parametrize("file", ["prompts.safetensors", "classes.safetensors"])
def test_tensors_are_the_same(item, file, runs, models, tmp_path):
    models[item].save(tmp_path / "run")
    ours, stages = (load_file(place / file) for place in (tmp_path / "run", runs.joinpath(*item, f"seed_{SEED}")))
    assert ours.keys() == stages.keys() and all(torch.equal(ours[key], stages[key]) for key in stages)


@pytest.mark.parametrize("item", ITEMS, ids="-".join)
@pytest.mark.parametrize("file", ["lengths.csv", "history.csv", "trace.csv"])
def test_tables_are_the_same(item, file, runs, models, tmp_path):
    models[item].save(tmp_path / "run")
    assert (tmp_path / "run" / file).read_bytes() == runs.joinpath(*item, f"seed_{SEED}", file).read_bytes()


@pytest.mark.parametrize("item", ITEMS, ids="-".join)
def test_predictions_are_the_same(item, runs, models):
    with runs.joinpath(*item, f"seed_{SEED}", "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    model, test = models[item], adapt.load_dataset(item[0]).test
    assert [row["path"] for row in rows] == [sample.path for sample in test]
    assert [model.classes[int(row["prediction"])] for row in rows] == model.predict(test)


@pytest.mark.parametrize("item", ITEMS, ids="-".join)
def test_accuracy_is_the_same(item, runs, models):
    metrics = json.loads(runs.joinpath(*item, f"seed_{SEED}", "metrics.json").read_text(encoding="utf-8"))
    assert adapt.evaluate(models[item], adapt.load_dataset(item[0]).test) == metrics["accuracy"]


@pytest.mark.parametrize("item", ITEMS, ids="-".join)
def test_run_of_the_pipeline_is_loaded(item, runs, clip):
    folder = runs.joinpath(*item, f"seed_{SEED}")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert adapt.evaluate(adapt.load(folder, clip), adapt.load_dataset(item[0]).test) == metrics["accuracy"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> dict[str, list[Path]]:
    """The test images of each dataset as files, in their order."""
    found = {}
    for dataset in DATASETS:
        folder, test = tmp_path_factory.mktemp(dataset), adapt.load_dataset(dataset).test
        found[dataset] = [folder / f"{number:04d}.png" for number in range(len(test))]
        for number, path in enumerate(found[dataset]):
            test.image(number).save(path)
    return found


@pytest.mark.parametrize("item", ITEMS, ids="-".join)
def test_command_predicts_what_evaluation_has_predicted(item, runs, pictures, models, capsys):
    folder, files = runs.joinpath(*item, f"seed_{SEED}"), pictures[item[0]]
    arguments = parser("adapt").parse_args(["predict", str(folder), str(files[0].parent)])
    arguments.run(arguments)
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        expected = [models[item].classes[int(row["prediction"])] for row in csv.DictReader(file)]
    assert [row["path"] for row in found] == list(map(str, files))
    assert [row["class"] for row in found] == expected
