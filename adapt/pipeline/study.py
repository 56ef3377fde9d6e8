"""Studies: grids of params, run one by one as DVC experiments.

The runs of a study are gathered into one table. An experiment runs in a copy of the working tree, so a study does not
change params.yaml, runs/ or reports/. It is named after its changes, so an interrupted study resumes with the
experiments that are missing.
"""

import io
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapt.errors import UserError, nearest
from adapt.pipeline import params
from adapt.runtime import files, formats, yaml
from adapt.settings.composition import compose
from adapt.settings.validation import explain

DECLARED = Path("conf/studies.yaml")
FOLDER = Path("reports/studies")
TABLES = {
    "accuracy": ["accuracy", "tokens"],
    "cost": ["trainable", "seconds", "step_ms", "memory_mb", "budget"],
}  # columns gathered from reports/tables/
KEYS = ["dataset", "method", "seed"]
MADE = ["preset", "backbone", "weights", "split"]  # entries of reports/metrics.json that a study's runs share
Values = Annotated[list[Any], Field(min_length=1)]


class Study(BaseModel):
    """One entry of conf/studies.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    methods: list[str] | None
    grid: Annotated[dict[str, Values | dict[str, Values]], Field(min_length=1)]

    def points(self, preset: str) -> list[dict[str, Any]]:
        """Return every combination of the grid's values, by key."""
        axes = [values[preset] if isinstance(values, dict) else values for values in self.grid.values()]
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*axes)]


def load(path: Path = DECLARED) -> dict[str, Study]:
    """Return all studies by name.

    Raises: UserError for an invalid entry.
    """
    try:
        return {name: Study(**entry) for name, entry in yaml.parse(path.read_text(encoding="utf-8")).items()}
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error.errors()[0], Study)}") from None


def find(name: str) -> Study:
    """Return a study by its name.

    Raises: UserError for an unknown one.
    """
    studies = load()
    if name not in studies:
        raise UserError(f"{DECLARED} has no study {name!r}; {nearest(name, studies)}")
    return studies[name]


def overrides(study: Study, point: Mapping[str, Any], more: Sequence[str]) -> list[str]:
    """Return the `-S` arguments of one experiment.

    more: those that all experiments of a call share
    """
    methods = [f"methods=[{','.join(study.methods)}]"] if study.methods else []
    return [*more, *methods, *(f"{key}={value}" for key, value in point.items())]


def check(changed: Sequence[str]) -> params.Params:
    """Return the params that an experiment will run with.

    Raises: UserError if they are invalid, so that a study stops before its first experiment rather than at its last.
    """
    values = yaml.parse(compose(list(changed)))
    try:
        return params.Params(**values)
    except ValidationError as error:
        raise UserError(f"-S {' -S '.join(changed)}: {explain(error.errors()[0], params.Params)}") from None


def plan(name: str, more: Sequence[str]) -> list[dict[str, Any]]:
    """Return the experiments of a study, all of them checked.

    Each has a `name`, `point` and `overrides`.
    """
    study = find(name)
    found = []
    for point in study.points(check(more).preset):
        changed = overrides(study, point, more)
        check(changed)
        values = "-".join(str(value) for value in point.values())
        label = f"{name}-{values}-{formats.fingerprint(sorted(changed))[:6]}"
        found.append({"name": label, "point": point, "overrides": changed})
    return found


def run(name: str, more: Sequence[str]) -> Iterator[str]:
    """Run the missing experiments of a study and gather all into FOLDER.

    Yields: a line of progress for each experiment.

    Raises: UserError for an invalid study, if there is no commit, and at the end if experiments failed.
    """
    planned = plan(name, more)
    now = commit()
    if not now:
        raise UserError(f"study {name}: DVC's experiments need git and a commit here; install git, commit, run again")
    before = previous_record(FOLDER / f"{name}.json", now)
    entries = [before.get(experiment["name"], new_entry(experiment)) for experiment in planned]
    command = shlex.join(["python", "-m", "stages.study", name, *more])
    record = {
        "study": name,
        "command": command,
        "commit": now,
        "own": default_values(name, more),
        "experiments": entries,
    }
    for at, entry in enumerate(entries, 1):
        if entry["name"] not in finished_experiments(experiments()):
            start = time.perf_counter()
            subprocess.run(shlex.split(entry["command"]), env=environment(), check=False)
            entry |= {"seconds": round(time.perf_counter() - start, 1), "state": "failed"}
        found = finished_experiments(experiments())
        entry |= {"state": "finished", **found[entry["name"]]} if entry["name"] in found else {}
        if any(entry["state"] == "finished" for entry in entries):  # otherwise keep the earlier results
            write(name, record, gather(planned, found))
        yield f"study {name}: {at} of {len(planned)}, {entry['name']} {entry['state']}"
    if failed := [entry["command"] for entry in entries if entry["state"] != "finished"]:
        left = "nothing is gathered" if len(failed) == len(entries) else f"{FOLDER}/{name}.csv has the others"
        raise UserError(
            f"study {name}: {len(failed)} of {len(entries)} experiments failed, {left}; see the errors above; run "
            f"one by hand: {failed[0]}"
        )


def commit() -> str:
    """Return the commit of the working tree, or "" without git or a commit.

    It ends in `-dirty` if the working tree differs.
    """
    if which("git") is None:
        return ""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, capture_output=True, encoding="utf-8").stdout.strip()


def default_values(name: str, more: Sequence[str]) -> dict[str, Any]:
    """Return the params' own values for the keys of the grid."""
    values: dict[str, Any] = {}
    for key in find(name).grid:
        value: Any = check(more)
        for part in key.split("."):
            value = getattr(value, part)
        values[key] = value
    return values


def new_entry(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of an experiment that has not run.

    It has the command that runs the experiment, and no wall time.
    """
    changes = [word for change in experiment["overrides"] for word in ("-S", change)]
    command = ["dvc", "exp", "run", "--temp", "-n", experiment["name"], *changes]
    return {"name": experiment["name"], "command": shlex.join(command), "seconds": None, "state": "waiting"}


def gather(planned: Sequence[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the runs of the planned experiments that have finished."""
    parts = []
    for experiment in planned:
        if experiment["name"] in found:
            rev = found[experiment["name"]]["rev"]
            texts = {table: output("git", "show", f"{rev}:reports/tables/{table}.csv") for table in TABLES}
            parts.append(rows(experiment, texts))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=pd.Index(["experiment", *KEYS]))


def rows(experiment: Mapping[str, Any], texts: Mapping[str, str]) -> pd.DataFrame:
    """Return one row per run of an experiment.

    A row has the experiment's name, its point of the grid, and the columns of TABLES.

    texts: by table, the CSV that the experiment's report wrote
    """
    tables = {name: pd.read_csv(io.StringIO(texts[name]))[KEYS + columns] for name, columns in TABLES.items()}
    joined = tables["accuracy"].merge(tables["cost"], on=KEYS, how="left")
    first = pd.DataFrame({"experiment": experiment["name"], **experiment["point"]}, index=joined.index)
    return first.join(joined)


def finished_experiments(shown: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the experiments that have a report, by name, with `rev` and MADE.

    shown: the output of `dvc exp show --json`
    """
    found = {}
    for baseline in shown:
        for experiment in baseline.get("experiments") or []:
            for revision in experiment["revs"]:
                data = revision.get("data") or {}
                metrics = (data.get("metrics") or {}).get("reports/metrics.json", {}).get("data")
                if revision.get("name") and metrics:
                    facts = {name: metrics[name] for name in MADE}
                    found[revision["name"]] = {"rev": revision["rev"], **facts}
    return found


def previous_record(path: Path, commit: str) -> dict[str, dict[str, Any]]:
    """Return the entries of an earlier call at the same commit, by experiment.

    They keep the wall times of experiments that need not run again.
    """
    if not path.exists():
        return {}
    record = formats.read_json(path, "python -m stages.study")
    return {entry["name"]: entry for entry in record["experiments"]} if record["commit"] == commit else {}


def write(name: str, record: Mapping[str, Any], table: pd.DataFrame) -> None:
    """Write the table and the record; both are kept in git."""
    with files.atomic_write(FOLDER / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    formats.write_json(FOLDER / f"{name}.json", record)


def experiments() -> list[dict[str, Any]]:
    """Return what DVC knows of the experiments on this commit."""
    return json.loads(output("dvc", "exp", "show", "--json"))


def output(*command: str) -> str:
    """Return the output of a command."""
    return subprocess.run(command, env=environment(), check=True, capture_output=True, encoding="utf-8").stdout


def environment() -> dict[str, str]:
    """Return the environment of DVC's commands.

    The stages call `python`, which has to be this one.
    """
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
