"""The source files that each stage depends on, found by imports: data/code/.

DVC does not look into scripts. The stage `code` does: for every other stage it writes one file that lists the sources
that its script reaches, with a hash of each; for `train` and `evaluate`, one file per method. A change then re-runs
only the stages that it touches, and dvc.yaml needs no lists of modules. dvc.lock, which DVC reads and rewrites around
every stage, stays short.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path("data/code")
METHODS = "adapt.methods"
ROOT_PACKAGE = "adapt"  # its __init__ only lists the library's public names
LEFT_OUT = (  # modules that never affect a number
    "adapt.runtime.",  # only decides when and where work is done
    "adapt.pipeline.live",  # only reports progress
)
KEPT = ("adapt.runtime.formats", "adapt.runtime.yaml")  # except that these write and read numbers


@cache
def file_of(module: str) -> Path | None:
    """Return the file of a local module or package, or None."""
    path = Path(module.replace(".", "/"))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def module_of(path: Path) -> str:
    """Return the dotted name of a file's module: the inverse of `file_of`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def statements(tree: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """Yield all nodes that run at import or, if asked for, at any time.

    The body of `if TYPE_CHECKING` is left out.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        yield node
        yield from statements(node, inside_functions)


@cache
def parse(path: Path) -> ast.Module:
    """Parse a file into a syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(module: str, inside_functions: bool) -> frozenset[str]:
    """Return the modules that a local module imports.

    `from a import b` counts as a and, if that is a module, as a.b.
    """
    path = file_of(module)
    if path is None:
        return frozenset()
    names = set()
    for node in statements(parse(path), inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {str(node.module)} | {name for name in inner if file_of(name)}
    parents = {name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)}
    return frozenset(names | parents)


def transitive_imports(*start: str, inside_functions: bool = True) -> set[str]:
    """Return all modules that are imported with `start`.

    Local modules are followed; other packages are only named.
    """
    found, todo = set(start), list(start)
    while todo:
        new = imports(todo.pop(), inside_functions) - found
        found |= new
        todo += new
    return found


def arguments(stage: str) -> dict[str, str]:
    """Return the signature of main in a stage's script.

    It is the type of each argument by its name.
    """
    (main,) = (n for n in parse(Path(f"stages/{stage}.py")).body if isinstance(n, ast.FunctionDef) and n.name == "main")
    return {argument.arg: ast.unparse(argument.annotation or argument) for argument in main.args.args}


def hashes_of(*modules: str) -> dict[str, str]:
    """Return a hash by path of all files that modules reach.

    These are their sources and the data files in their packages.
    """
    counted = (name for name in transitive_imports(*modules) if not is_left_out(name))
    files = {file for module in counted if (file := file_of(module))}
    beside = {path for file in files if file.name == "__init__.py" for path in package_data(file.parent)}
    return {path.as_posix(): digest(path) for path in sorted(files | beside)}


def is_left_out(module: str) -> bool:
    """Return whether a module cannot change a number."""
    return module == ROOT_PACKAGE or (module.startswith(LEFT_OUT) and module not in KEPT)


@cache
def package_data(package: Path) -> frozenset[Path]:
    """Return the files of a package that are not Python.

    Files of packages below it are not included.
    """
    found = (path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return frozenset(path for path in found if next(p for p in path.parents if file_of(module_of(p))) == package)


@cache
def digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Python code is hashed without comments, docstrings and layout, which do not change results.
    """
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            del node.body[0]
    return hashlib.sha256(dump(tree).encode()).hexdigest()


def dump(node: Any) -> str:
    """Return a syntax tree as text that is the same under every Python.

    Empty fields are left out, and text is ASCII. `ast.dump` differs: it has printed `type_params=[]` since 3.12, no
    empty lists since 3.13, and strings according to its Unicode tables. Some releases of 3.12 put empty strings into
    f-strings.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(dump, node))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.JoinedStr):
        fields["values"] = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    told = [f"{name}={dump(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({', '.join(told)})"


def stage_manifests(stages: list[str], methods: list[str]) -> dict[str, dict[str, str]]:
    """Return what each stage consists of, by the name of its file in data/code.

    Methods are found by name, not by import.
    """
    found = {}
    for stage in stages:
        script, wanted = f"stages.{stage}", arguments(stage)
        if "method" in wanted:
            found |= {f"{stage}/{method}": hashes_of(script, f"{METHODS}.{method}") for method in methods}
        elif "settings" in wanted:  # the config of all methods
            found[stage] = hashes_of(script, *(f"{METHODS}.{method}" for method in methods))
        else:
            found[stage] = hashes_of(script)
    return found
