"""The rules of the layout: who may import whom, what a stage declares, which files agree with each other.

DVC does not look into scripts: an undeclared module or params section silently gives "didn't change, skipping".
"""

import ast
import shlex
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from adapt.params import Params, compose

ROOT = Path(__file__).parents[1]


class Rule(NamedTuple):
    """What the modules under `of`, but for `except_`, never reach by imports, however many steps away."""

    of: str
    never: tuple[str, ...]
    except_: tuple[str, ...] = ()


TORCH = ("torch", "torchvision", "open_clip")
ON_TENSORS = ("adapt.data.views", "adapt.data.batches")
RULES = (
    Rule("adapt", ("stages", "tests", "benchmarks")),
    Rule("adapt.fit", ("open_clip", "adapt.clip", "adapt.encoders")),
    Rule("adapt.methods", ("adapt.fit",)),
    # what needs no torch starts in a second
    Rule("stages.sample", TORCH),
    Rule("stages.pack", TORCH),
    Rule("stages.report", TORCH),
    Rule("adapt.report", TORCH),
    Rule("adapt.data", TORCH, ON_TENSORS),
    Rule("adapt.supply", TORCH),
    Rule("adapt.__main__", TORCH),
    Rule("adapt.data", ("adapt.supply",)),  # a new address for a download must not train everything again
)
PRINTS = ROOT / "adapt/stage.py"  # the one module that speaks to the user
FORBIDDEN = ("/wor[k]/", "[.]librar[y]", "/roo[t]/")  # in brackets, since this file is searched too


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def file_of(module: str) -> Path | None:
    """The file of a local module or package."""
    path = ROOT / module.replace(".", "/")
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def statements(tree: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """All nodes that run, at import or, if asked for, ever: `if TYPE_CHECKING` does not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        yield node
        yield from statements(node, inside_functions)


@cache
def imports(module: str, inside_functions: bool) -> frozenset[str]:
    """The modules that a local module names; `from a import b` counts as a and, where that is a module, a.b."""
    path = file_of(module)
    if path is None:
        return frozenset()
    names = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")), inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {str(node.module)} | {name for name in inner if file_of(name)}
    parents = {name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)}
    return frozenset(names | parents)


def reach(start: set[str], inside_functions: bool) -> set[str]:
    """All modules that come with `start`, local ones followed, third parties named."""
    found, todo = set(start), list(start)
    while todo:
        new = imports(todo.pop(), inside_functions) - found
        found |= new
        todo += new
    return found


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def read_yaml(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


STAGES: dict[str, dict[str, Any]] = read_yaml("dvc.yaml")["stages"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.of)
def test_imports_point_one_way(rule: Rule):
    modules = [module_of(path) for path in sources("adapt", "stages")]
    bound = [m for m in modules if within(m, rule.of) and not any(within(m, free) for free in rule.except_)]
    assert bound, f"no module is called {rule.of}"
    breaches = [
        f"{module} reaches {reached}"
        for module in bound
        for reached in sorted(reach({module}, inside_functions=False))
        if any(within(reached, never) for never in rule.never)
    ]
    assert not breaches


def arguments(stage: str) -> set[str]:
    """The names in the signature of main in a stage's script."""
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    return {argument.arg for argument in main.args.args + main.args.kwonlyargs}


def definition(stage: str) -> dict[str, Any]:
    """The stage, or what its `foreach` repeats."""
    return STAGES[stage].get("do", STAGES[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_stage_declares_its_params(stage: str):
    entries = definition(stage).get("params", [])
    assert all(isinstance(entry, str) for entry in entries), "params come from params.yaml"
    sections = arguments(stage) & set(Params.model_fields)
    assert {entry.split(".")[0] for entry in entries} == sections


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_called_with_the_rest_of_its_arguments(stage: str):
    python, flag, module, *given = shlex.split(definition(stage)["cmd"])
    assert (python, flag, module) == ("python", "-m", f"stages.{stage}")
    assert {word.split("=")[0] for word in given} == arguments(stage) - set(Params.model_fields)


def runs_code(path: Path) -> bool:
    """Whether a file holds more than a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return len(tree.body) > (ast.get_docstring(tree) is not None)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_its_modules(stage: str):
    start = {f"stages.{stage}"}
    if "method" in arguments(stage):  # found by name, which no import statement shows
        start |= {module_of(path) for path in sources("adapt/methods")}
    files = [file for module in reach(start, inside_functions=True) if (file := file_of(module)) and runs_code(file)]
    deps = [dep.replace("${item.method}", "*").rstrip("/") for dep in definition(stage)["deps"]]

    def declared(file: Path) -> bool:
        path = file.relative_to(ROOT)
        return any(fnmatch(str(part), dep) for part in (path, *path.parents) for dep in deps)

    assert not [str(file.relative_to(ROOT)) for file in sorted(files) if not declared(file)]


def test_params_are_what_conf_composes():
    composed = YAML(typ="safe").load(compose([], ROOT / "conf"))
    assert read_yaml("params.yaml") == composed, "run `make params`"


@pytest.mark.parametrize("path", [p for p in sources("adapt") if p != PRINTS], ids=module_of)
def test_only_stage_reads_argv_and_prints(path: Path):
    text = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    assert not {"sys.argv", "sys.stdout", "print", "from sys import argv"} & set(text)


@pytest.mark.parametrize("path", sources("adapt"), ids=module_of)
def test_nothing_happens_at_import(path: Path):
    calls = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Expr)][1:]
    assert not [ast.unparse(call) for call in calls]


def test_no_path_of_one_machine_is_tracked():
    patterns = [word for text in FORBIDDEN for word in ("-e", text)]
    command = ["git", "grep", "-InE", *patterns, "--", ":!.dvc/plots/page.html"]  # which is Vega, minified
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1, found.stdout + found.stderr
