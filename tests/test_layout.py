"""The rules of the layout: imports, inputs that stages declare, matching files.

DVC does not look into scripts: an undeclared module or params section silently gives "didn't change, skipping".
"""

import ast
import graphlib
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from adapt.config import RuntimeConfig
from adapt.pipeline import source_hashes, stage_params
from adapt.pipeline.params import Params
from adapt.pipeline.stage import ITEMS, WHOLE
from adapt.settings.composition import compose

ROOT = Path(__file__).parents[1]


LAYERS: tuple[tuple[set[str], ...], ...] = (
    # from the ground up: a module imports what stands below it or in its own set; sets side by side are independent
    ({"adapt.errors"},),
    ({"adapt.runtime"},),
    ({"adapt.clip"}, {"adapt.data"}),
    ({"adapt.config"},),
    # the method, which the package is named after
    ({"adapt.prompts", "adapt.saliency", "adapt.pruning", "adapt.distillation", "adapt.task"}, {"adapt.download"}),
    ({"adapt.methods"},),
    ({"adapt.settings"},),
    ({"adapt.training"},),
    ({"adapt.export"},),
    ({"adapt.pipeline"}, {"adapt.pretraining"}, {"adapt.api"}),
    ({"adapt.report"}, {"adapt.demo"}),
    ({"adapt.commands"},),
    ({"adapt.__main__"},),
    ({"stages"},),
)


class Rule(NamedTuple):
    """Modules that those under `of`, except `except_`, never import, even indirectly."""

    of: str
    never: tuple[str, ...]
    except_: tuple[str, ...] = ()


TORCH = ("torch", "torchvision", "open_clip")
ON_TENSORS = ("adapt.data.augment", "adapt.data.loader", "adapt.data.twins")
RULES = (
    Rule("adapt", ("stages", "tests", "benchmarks")),
    # what needs no torch starts in a second
    Rule("stages.sample", TORCH),
    Rule("stages.pack", TORCH),
    Rule("stages.report", TORCH),
    Rule("adapt.report", TORCH),
    Rule("adapt.data", TORCH, ON_TENSORS),
    Rule("adapt.download", TORCH),
    Rule("adapt.__main__", TORCH),
    Rule("adapt.data", ("adapt.download",)),  # a new address for a download must not train everything again
)
FREE = {
    "parallel_seeds",
    "per_gpu",
    "cuda_graphs",
    "num_workers",
    "checkpoint_seconds",
    "live",
    "live_accuracy",
}  # they change when a result comes, not which
SPEAK = {
    ROOT / "adapt/pipeline/stage.py",
    ROOT / "adapt/runtime/fork_server.py",
    ROOT / "adapt/__main__.py",
    *(ROOT / "adapt/commands").glob("*.py"),
}  # to the user, as a stage and in its stead, and as the command line
FORBIDDEN = ("/wor[k]/", "[.]librar[y]", "/roo[t]/")  # in brackets, since this file is searched too


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def read_yaml(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


STAGES: dict[str, dict[str, Any]] = read_yaml("dvc.yaml")["stages"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.of)
def test_what_is_kept_apart_is_not_reached(rule: Rule):
    modules = [source_hashes.module_of(path.relative_to(ROOT)) for path in sources("adapt", "stages")]
    bound = [m for m in modules if within(m, rule.of) and not any(within(m, free) for free in rule.except_)]
    assert bound, f"no module is called {rule.of}"
    breaches = [
        f"{module} reaches {reached}"
        for module in bound
        for reached in sorted(source_hashes.transitive_imports(module, inside_functions=False))
        if any(within(reached, never) for never in rule.never)
    ]
    assert not breaches


def named_imports(path: Path) -> set[str]:
    """Return the local modules that a file imports, also in functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if source_hashes.file_of(name)}
            found |= modules | ({node.module} if modules != inner else set())
    return {name for name in found if source_hashes.file_of(name)}


def place(module: str) -> tuple[int, int]:
    """The layer of a module and its set there."""
    for height, layer in enumerate(LAYERS):
        for number, names in enumerate(layer):
            if any(within(module, name) for name in names):
                return height, number
    raise AssertionError(f"{module} is in no layer")


GRAPH = {source_hashes.module_of(path.relative_to(ROOT)): named_imports(path) for path in sources("adapt", "stages")}


@pytest.mark.parametrize("module", sorted(GRAPH.keys() - {"adapt", "adapt.__init__"}))
def test_imports_point_down_the_house(module: str):
    height, number = place(module)
    for imported in GRAPH[module] - {"adapt"}:
        below = place(imported)
        assert below[0] < height or below == (height, number), f"{module} imports {imported}"


def test_training_loop_names_nothing_of_clip():
    assert not [module for module in GRAPH["adapt.training.trainer"] if within(module, "adapt.clip")]


def test_no_modules_import_each_other_in_a_circle():
    tuple(graphlib.TopologicalSorter(GRAPH).static_order())  # raises CycleError


def test_the_method_stands_at_the_root():
    root = {path.stem for path in (ROOT / "adapt").glob("*.py")} - {"__init__", "__main__"}
    assert root == {"config", "distillation", "errors", "prompts", "pruning", "saliency", "task"}


@pytest.mark.parametrize("word", ["params.yaml", "dvc", "data/", "runs/", "DVC_ROOT"])
def test_only_the_pipeline_knows_folders_params_and_dvc(word: str):
    above = ("pipeline", "report", "commands", "__main__.py")
    files = [path for path in sources("adapt") if path.relative_to(ROOT / "adapt").parts[0] not in above]
    constants = {path: strings(path) for path in files}
    assert not [f"{path.name}: {text}" for path, texts in constants.items() for text in texts if word in text]


def strings(path: Path) -> list[str]:
    """The string constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)
    }  # type: ignore
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [node.value for node in found if id(node) not in docs]


def definition(stage: str) -> dict[str, Any]:
    """The stage, or what its `foreach` repeats."""
    return STAGES[stage].get("do", STAGES[stage])


def is_section(name: str) -> bool:
    """Return whether an argument of a stage is a section of the params.

    Other arguments are items, such as a method's name.
    """
    return name in Params.model_fields and name not in ITEMS


@pytest.mark.parametrize("stage", stage_params.KEYS)
def test_stage_declares_its_params(stage: str):
    entries = stage_params.KEYS[stage]
    sections = {name for name in source_hashes.arguments(stage) if is_section(name)}
    assert {entry.split(".")[0] for entry in entries} - {"runtime"} == sections - {"runtime"}
    runtime = {entry.removeprefix("runtime.") for entry in entries if within(entry, "runtime")}
    on_tensors = "torch" in source_hashes.transitive_imports(f"stages.{stage}") and "runtime" in sections
    assert runtime == (set(RuntimeConfig.model_fields) - FREE if on_tensors else set())


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("code", "configure")])
def test_stage_depends_on_its_params(stage: str):
    assert [dep for dep in definition(stage)["deps"] if "params" in dep] == [f"data/params/{stage}.json"]


def test_configure_alone_tracks_params_and_all_of_them():
    tracked = {stage: set(definition(stage)["params"]) for stage in STAGES if "params" in definition(stage)}
    assert tracked == {"configure": set(Params.model_fields)}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_called_with_the_rest_of_its_arguments(stage: str):
    python, flag, module, *given = shlex.split(definition(stage)["cmd"])
    assert (python, flag, module) == ("python", "-m", f"stages.{stage}")
    items = {name for name in source_hashes.arguments(stage) if not is_section(name)} - {WHOLE}
    assert {word.split("=")[0] for word in given} == items


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "code"])
def test_stage_depends_on_its_code(stage: str):
    method = "/${item.method}" if "method" in source_hashes.arguments(stage) else ""
    assert f"data/code/{stage}{method}.json" in definition(stage)["deps"]
    assert not [dep for dep in definition(stage)["deps"] if dep.split("/")[0] in ("adapt", "stages")]


def test_stages_follow_those_that_they_depend_on():
    """DVC visits stages in this order; in a fresh clone `dvc exp run` fails at a frozen one that comes too early."""
    made: list[str] = []
    for name, stage in STAGES.items():
        stage = stage.get("do", stage)
        for needed in (dep for dep in stage.get("deps", []) if dep.startswith("data/")):
            assert any(needed.startswith(out) or out.startswith(needed) for out in made), f"{name}: {needed}"
        made += [out if isinstance(out, str) else next(iter(out)) for out in stage.get("outs", [])]


def test_params_are_what_conf_composes():
    composed = YAML(typ="safe").load(compose([], ROOT / "conf"))
    assert read_yaml("params.yaml") == composed, "run `make params`"


@pytest.mark.parametrize("path", [p for p in sources("adapt") if p not in SPEAK], ids=lambda path: path.stem)
def test_only_stage_reads_argv_and_prints(path: Path):
    text = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    assert not {"sys.argv", "sys.stdout", "print", "from sys import argv"} & set(text)


@pytest.mark.parametrize("path", sources("adapt"), ids=lambda path: path.stem)
def test_nothing_happens_at_import(path: Path):
    calls = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Expr)][1:]
    assert not [ast.unparse(call) for call in calls]


def opens_text(node: ast.AST) -> bool:
    """Return whether a call opens text without an encoding.

    A computed mode counts as binary.
    """
    if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
        return False
    name = ast.unparse(node.func)
    if name.endswith((".read_text", ".write_text")):
        return True
    if name != "open" and (not name.endswith(".open") or name.split(".")[0] in ("Image", "os", "tarfile")):
        return False
    places = node.args[1:2] if name == "open" else node.args[:1]
    modes = [word.value for word in node.keywords if word.arg == "mode"] + places
    return all(isinstance(mode, ast.Constant) and "b" not in str(mode.value) for mode in modes)


@pytest.mark.parametrize("path", sources("adapt", "stages", "benchmarks", "tests", "docs"), ids=lambda path: path.stem)
def test_text_is_utf8_whatever_the_locale(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [f"line {node.lineno}: {ast.unparse(node)}" for node in ast.walk(tree) if opens_text(node)]


def test_first_line_of_a_docstring_has_at_most_80_characters():
    long = []
    for path in sources("adapt", "stages", "benchmarks", "docs", "examples"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                long += [f"{path.relative_to(ROOT)}: {first}"] if len(first) > 80 else []
    assert not long


def test_no_path_of_one_machine_is_tracked():
    patterns = [word for text in FORBIDDEN for word in ("-e", text)]
    command = ["git", "grep", "-InE", *patterns, "--", ":!.dvc/plots/page.html"]  # which is Vega, minified
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1, found.stdout + found.stderr
