"""The names that `import adapt` offers, and the cost of the import."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import adapt

NAMES = {
    "Backbone", "Dataset", "FewShotDataset", "FewShotTask", "Model", "Split", "TeacherFeatures", "TokenEffects",
    "TwoTower", "UserError", "evaluate", "fit", "list_datasets", "list_methods", "load", "load_clip", "load_dataset",
    "register_method", "teacher_features", "token_effects",
}  # fmt: skip
SECTIONS = ("Args:", "Returns:", "Raises:")


def python(code: str, folder: Path, *flags: str) -> str:
    """Return the output of a program that runs in another folder with this library."""
    root = Path(adapt.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"
    done = subprocess.run([sys.executable, *flags, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_names_are_these():
    assert set(adapt.__all__) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_name_is_found_and_documented(name):
    assert inspect.getdoc(getattr(adapt, name))


@pytest.mark.parametrize(
    "name", ["evaluate", "fit", "load", "load_clip", "load_dataset", "teacher_features", "token_effects"]
)
def test_function_tells_arguments_results_and_errors(name):
    found = inspect.getdoc(getattr(adapt, name)) or ""
    assert all(section in found for section in SECTIONS)
    told = found.split("Args:")[1].split("Returns:")[0]
    assert all(f"{argument}:" in told for argument in inspect.signature(getattr(adapt, name)).parameters)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        adapt.nothing  # noqa: B018


def test_import_loads_no_torch(tmp_path):
    heavy = ("torch", "numpy", "open_clip", "pydantic", "PIL", "dvc", "pandas")
    code = f"import adapt; print([name for name in {heavy} if name in sys.modules])"
    assert python(code, tmp_path) == "[]\n"


def test_import_loads_nothing_of_the_package_itself(tmp_path):
    code = "import adapt; print([name for name in sys.modules if name.startswith('adapt.')])"
    assert python(code, tmp_path) == "[]\n"


def test_library_never_imports_the_pipeline_or_dvc(tmp_path):
    code = (
        "import adapt; [getattr(adapt, name) for name in adapt.__all__]; "
        "print([name for name in sys.modules if name.startswith(('adapt.pipeline', 'adapt.report', 'dvc', 'pandas'))])"
    )
    assert python(code, tmp_path) == "[]\n"


def test_no_method_has_a_setting_of_the_name_of_an_argument_of_fit():
    from adapt import methods
    from adapt.settings.resolution import schema

    taken = set(inspect.signature(adapt.fit).parameters)
    assert not [name for name in methods.names() if taken & set(schema(name).model_fields)]
