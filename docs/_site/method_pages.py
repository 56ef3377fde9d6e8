"""A page for each method, out of code, settings, reports and docs/methods.md."""

import ast
import csv
import json
import re
import statistics
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from adapt import methods
from adapt.config import PRESETS
from adapt.settings.resolution import SECTIONS, schema
from docs._site import outside, param_pages
from docs._site.outside import ROOT
from docs._site.settings import CONF, Override, Setting, entries, field_type, head, of_params, overrides, value
from docs._site.tables import code, table, text

DIFFERENCES = "What differs here, method by method"  # the section of docs/methods.md
RECIPE = "A new method"  # the section of CONTRIBUTING.md
POCKET = "**Pocket numbers say nothing about the paper's**"


@cache
def names() -> list[str]:
    """Return all methods, in the order of conf/config.yaml and then by name."""
    (listed,) = [entry["method"] for entry in config()["defaults"] if isinstance(entry, dict) and "method" in entry]
    return [*listed, *sorted(set(methods.names()) - set(listed))]


def config() -> dict[str, Any]:
    """Return conf/config.yaml."""
    return yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))


def page(name: str) -> str:
    """Return the page of a method."""
    parts = [
        f"# {name}\n",
        *introduction(name),
        "## Run it\n",
        run(name),
        "## Size\n",
        size(name),
        "## Published results\n",
        published(name),
        "## On the pocket preset\n",
        *pocket(name),
        "## Settings\n",
        *configured(name),
        "## What differs from the authors' code\n",
        *differences(name),
        "## In the code\n",
        f"::: adapt.methods.{name}.{methods.find(name).__name__}\n    options:\n      members: false\n",
        f"[adapt/methods/{name}.py](../../adapt/methods/{name}.py)\n",
    ]
    return "\n".join(parts)


# ---- what it is


def described(name: str) -> dict[str, str]:
    """Return the parts of the comment at the head of conf/method/NAME.yaml."""
    found, current = {"paper": "", "about": "", "note": ""}, "paper"
    for number, line in enumerate(head(CONF / f"method/{name}.yaml")):
        labelled = re.match(r"(Run|Published|Sources):\s+(.*)", line)
        if labelled:
            current, line = labelled[1], labelled[2]
        elif number and not line.startswith("   "):
            current = "note" if "Sources" in found else "about"
        found[current] = f"{found.get(current, '')} {line.strip()}".strip()
    return found


def introduction(name: str) -> Iterator[str]:
    """Yield the module's docstring, the paper, what is learned, and the sources."""
    path = ROOT / f"adapt/methods/{name}.py"
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    told = described(name)
    yield f"{text(' '.join(said.split()))}\n"
    yield f"{text(told['about'])}\n"
    yield f"**Source:** {text(told['paper'])}\n"
    yield f"**Marks of its settings:** {linked(told['Sources'])}\n"


def linked(words: str) -> str:
    """Return plain words as Markdown, in which the name of a document is a link to it."""
    return re.sub(r"docs/(\w+)\.md", r"[docs/\1.md](../\1.md)", text(words))


def run(name: str) -> str:
    """Return how to run a method: in the pipeline, on a folder, and in Python."""
    return (
        f"    {described(name)['Run']}\n"
        f"    adapt tune FOLDER -o RUN --method {name}\n\n"
        f'In Python: `adapt.fit("{name}", clip, data)`; [The library](../library.md) has the rest.\n'
    )


# ---- numbers


def rows(path: str) -> list[dict[str, str]]:
    """Return the rows of a table in reports/."""
    with (ROOT / "reports" / path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def size(name: str) -> str:
    """Return the trainable numbers and tokens at ViT-B/16, as counted."""
    for row in rows("methods.csv"):
        if row["method"] == name:
            shown = table(
                ("trainable parameters", "tokens"), [(f"{int(row['trainable']):,}", f"{int(row['tokens']):,}")]
            )
            return (
                f"{shown}\nCounted on ViT-B/16 with the paper preset's settings, 100 classes and 16 shots, by "
                "`python -m benchmarks.methods` ([reports/methods.csv](../../reports/methods.csv)). "
                "[The methods](../methods.md) compares all.\n"
            )
    return "Not counted yet: `python -m benchmarks.methods` does it.\n"


@cache
def facts() -> dict[str, Any]:
    """Return reports/published.yaml."""
    return yaml.safe_load((ROOT / "reports/published.yaml").read_text(encoding="utf-8"))


def source(key: str) -> str:
    """Return where a published number comes from, and how it was taken."""
    found = facts()["sources"][key]
    return text(f"{found['where']} ({found['how']})")


def published(name: str) -> str:
    """Return the averages that others published, with their sources."""
    parts = [*averages(name), *by_shots(name)]
    if not parts:
        return "None is on record: no average over the eleven datasets with ViT-B/16 is known here.\n"
    begins = {"zero_shot": "without training"}.get(name, name)
    found = [caution for caution in facts()["cautions"] if caution.lower().startswith(begins)]
    parts += [f"**Caution:** {text(caution)}\n" for caution in found]
    parts.append(
        "Top-1, mean over the eleven datasets, CLIP ViT-B/16. **None was measured here**; "
        "[reports/published.yaml](../../reports/published.yaml) has them by dataset where the source does.\n"
    )
    return "\n".join(parts)


def averages(name: str) -> Iterator[str]:
    """Yield the averages at 16 shots, of `zero_shot` without any."""
    found = [row for row in facts()["results"] if row["method"] == name]
    if found:
        yield f"{'Without any shots' if name == 'zero_shot' else 'At 16 shots'}:\n"
        numbers = [(f"{row['average']:.5g}", source(row["source"])) for row in found]
        if any("protocol" in row for row in found):
            protocols = [text(row.get("protocol", "–")) for row in found]
            cells = [(mean, protocol, place) for (mean, place), protocol in zip(numbers, protocols, strict=True)]
            yield table(("average, %", "protocol", "source"), cells)
        else:
            yield table(("average, %", "source"), numbers)


def by_shots(name: str) -> Iterator[str]:
    """Yield the averages by number of shots."""
    found = [row for row in facts()["average_by_shots"] if row["method"] == name]
    if found:
        yield "By number of shots, %:\n"
        cells = [(*(f"{mean:.5g}" for mean in row["averages"]), source(row["source"])) for row in found]
        yield table((*map(str, facts()["shots"]), "source"), cells)
    yield from (f"Note: {text(row['note'])}.\n" for row in found if "note" in row)


def percent(accuracies: list[float]) -> str:
    """Return mean ± standard deviation in percent."""
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    return f"{100 * statistics.mean(accuracies):.2f}\u00a0±\u00a0{100 * spread:.2f}"  # not broken in narrow cells


def by_dataset(runs: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Return the datasets of some runs with `average`, and the accuracy on each."""
    datasets = list(dict.fromkeys(row["dataset"] for row in runs))
    seeds = list(dict.fromkeys(row["seed"] for row in runs))
    found = {(row["dataset"], row["seed"]): float(row["accuracy"]) for row in runs}
    means = [statistics.mean(found[dataset, seed] for dataset in datasets) for seed in seeds]
    cells = [percent([found[dataset, seed] for seed in seeds]) for dataset in datasets]
    return [*datasets, "average"], [*cells, percent(means)]


def pocket(name: str) -> Iterator[str]:
    """Yield the accuracies of the pocket report and of the study of all methods."""
    report = json.loads((ROOT / "reports/metrics.json").read_text(encoding="utf-8"))
    study = json.loads((ROOT / "reports/studies/methods.json").read_text(encoding="utf-8"))["experiments"][0]
    parts = []
    if report["preset"] == "pocket" and (runs := of_method("tables/accuracy.csv", name)):
        parts += measured(runs, report["weights"], "tables/accuracy.csv")
    if study["preset"] == "pocket" and (runs := of_method("studies/methods.csv", name)):
        same = (study["weights"], "pocket") == (report["weights"], report["preset"])
        older = "" if same else (
            " It was made with **other weights of the pocket CLIP** than the report, and with the settings of that "
            "time: do not compare the two."
        )  # fmt: skip
        parts += [f"The study of every method (`make study-methods`).{older}\n"]
        parts += measured(runs, study["weights"], "studies/methods.csv")
    if parts:
        yield f"{POCKET}: they are of a small CLIP and five small datasets ([The pocket preset](../pocket.md)).\n"
        yield from parts
    else:
        yield f"No run is on record. `dvc exp run -S 'methods=[{name}]'` makes one.\n"


def of_method(path: str, name: str) -> list[dict[str, str]]:
    """Return the rows of a method in a table in reports/."""
    return [row for row in rows(path) if row["method"] == name]


def measured(runs: list[dict[str, str]], weights: str, path: str) -> Iterator[str]:
    """Yield the accuracies of some runs as a table, with what they were made with."""
    head, cells = by_dataset(runs)
    yield table(head, [cells])
    yield (
        f"Top-1 in percent on test, mean ± standard deviation over seeds; {runs[0]['shots']} shots, weights {weights} "
        f"([reports/{path}](../../reports/{path})).\n"
    )


# ---- settings


def settings(name: str) -> list[Setting]:
    """Return the settings that conf/method/NAME.yaml gives the method."""
    found = [entry for entry in entries(CONF / f"method/{name}.yaml") if entry.key[0] == name and len(entry.key) > 1]
    sections: dict[str, dict[str, Any]] = {}
    for entry in found:
        if len(entry.key) > 2:
            sections.setdefault(entry.key[1], {})[entry.key[2]] = entry.value
    return [
        Setting(
            entry.key[1:],
            {preset: value(entry.value, preset) for preset in PRESETS},
            field_type(schema(name), entry.key[1:], sections.get(entry.key[1], {})),
            entry.comment,
        )
        for entry in found
    ]


def configured(name: str) -> Iterator[str]:
    """Yield a method's settings as tables: its own, shared sections, overrides."""
    own = settings(name)
    shared = [field for field in schema(name).model_fields if field in SECTIONS and not of_section(own, field)]
    if note := described(name)["note"]:
        yield f"{linked(note)}\n"
    if own:
        yield param_pages.show(own, anchors=None)
    if shared:
        yield f"{'It also' if own else 'It'} reads these sections of the params:\n"
        yield param_pages.show(
            [setting for field in shared for setting in of_section(of_params(), field)], anchors=None
        )
    if not own and not shared:
        yield "It has none.\n"
    if changed := overrides(CONF / f"method/{name}.yaml", name):
        yield "For some presets, shots or datasets other values hold; where several match, the last one wins:\n"
        yield table(("for", "settings", "source"), map(overridden, changed))
    conf = f"[conf/method/{name}.yaml](../../conf/method/{name}.yaml)"
    yield f"From {conf}; [Params](../params.md) has the settings of all methods.\n"


def of_section(found: list[Setting], name: str) -> list[Setting]:
    """Return the settings of a section."""
    return [setting for setting in found if setting.key[0] == name]


def overridden(entry: Override) -> tuple[str, str, str]:
    """Return an override as cells."""
    when = "; ".join(f"{name}: {', '.join(map(str, found))}" for name, found in entry.when.items())
    sets = "<br>".join(code(f"{key}: {json.dumps(found, ensure_ascii=False)}") for key, found in entry.sets.items())
    return text(when), sets, text(entry.comment)


# ---- docs/methods.md and CONTRIBUTING.md


def section(path: str, title: str) -> str:
    """Return a section of a document without its heading; a missing one is an error."""
    document = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", document, re.DOTALL | re.MULTILINE)
    assert found, f"{path} has no section {title!r}; docs/_site/method_pages.py takes text from it"
    return found[1].strip("\n")


def points() -> Iterator[tuple[set[str], str]]:
    """Yield each point of the section on differences, with the methods it names."""
    for point in re.split(r"^- ", section("docs/methods.md", DIFFERENCES), flags=re.MULTILINE)[1:]:
        front, colon, _ = point.partition(":")
        yield (set(re.findall(r"`(\w+)`", front)) if colon and not point.startswith("**") else set()), point.rstrip()


def differences(name: str) -> Iterator[str]:
    """Yield the points on the method, and where those are that hold for all."""
    found = [point for named, point in points() if name in named]
    yield from (outside.rewrite(f"- {point}", f"methods/{name}.md", outside.DOCS / "methods.md") for point in found)
    if not found:
        yield "None is known beyond what holds for all methods."
    anchor = re.sub(r"[^\w -]", "", DIFFERENCES).lower().replace(" ", "-")
    yield f"\n[{DIFFERENCES}](../methods.md#{anchor}) begins with what holds for all methods.\n"


def tutorial() -> str:
    """Return the tutorial on adding a method, which is a section of CONTRIBUTING.md."""
    recipe = outside.rewrite(section("CONTRIBUTING.md", RECIPE), "add_method.md", ROOT / "CONTRIBUTING.md")
    return (
        "# Add a method\n\nA method of your own runs in the same harness as the others: the same images, views, loop, "
        "checkpoints and report. You need a checkout with `make dev` "
        "([Contributing](files/CONTRIBUTING.md), from which this page is taken).\n\n"
        f"{recipe}\n"
    )
