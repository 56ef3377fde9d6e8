"""The generated pages of the documentation are whole, and the written ones agree with the code."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import adapt
from adapt.pipeline import fewshot, fewshot_images, image_cache
from adapt.pipeline.params import Params
from adapt.settings.composition import compose
from adapt.training import run_folder
from docs._site import command_pages, method_pages, outside, param_pages, settings

ROOT = Path(__file__).parents[2]
PRESETS = ("paper", "pocket")


def keys(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that has a value of its own; one by preset counts as one."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value and set(value) != set(PRESETS):
            if name != "overrides":
                yield from keys(value, f"{above}{name}.")
        elif name != "overrides":
            yield f"{above}{name}", value


@pytest.fixture(scope="module")
def composed() -> dict[str, dict[str, Any]]:
    return {preset: yaml.safe_load(compose([f"preset={preset}"])) for preset in PRESETS}


@pytest.fixture(scope="module")
def params_page() -> str:
    return param_pages.page()


# ---- params


@pytest.mark.parametrize("preset", PRESETS)
def test_every_key_of_the_params_has_a_row_with_its_value(preset: str, composed, params_page):
    wanted = {key: value for key, value in keys(composed[preset]) if value != {}}
    rows = dict(re.findall(r'<span id="([^"]+)"></span> \|(.*)', params_page))
    assert set(rows) == set(wanted)
    column = {"paper": 1, "pocket": 2}[preset]
    for key, value in wanted.items():
        cell = re.split(r" \| ", rows[key])[column]
        assert cell.strip() == param_pages.shown(settings.value(value, preset)).replace("|", r"\|"), key


def test_every_param_has_a_type():
    assert not [setting.name for setting in settings.of_params() if "mapping" in setting.type]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("shots", "integer ≥ 1"),
        ("prompts.ctx_init", "text or `null`"),
        ("optimizer.name", "`sgd` or `adamw`"),
        ("optimizer.momentum", "number ≥ 0, < 1"),
        ("augment.crop_scale", "two of: number > 0, ≤ 1"),
        ("runtime.compile", "`true` or `false`"),
    ],
)
def test_types_are_said_in_words(key: str, words: str):
    (found,) = [setting.type for setting in settings.of_params() if setting.name == key]
    assert found == words


def test_comments_above_and_behind_a_value_are_found(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(
        "# the file's own\na: 1  # behind [x]\nb:  # of the section\n  # above\n  c: [1, 2]  # and behind\n"
        "  d: {paper: 1, pocket: '# no comment'}\n# far above\n\ne: '# no comment'\n",
        encoding="utf-8",
    )
    found = {".".join(entry.key): entry.comment for entry in settings.entries(path)}
    assert found == {"a": "behind [x]", "b.c": "above and behind", "b.d": "", "e": ""}


def test_every_comment_behind_a_setting_is_on_the_page(params_page):
    said = re.sub(r"[\W_]+", " ", params_page)
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        part, _, _ = path.read_text(encoding="utf-8").partition("overrides:")
        for comment in (
            re.findall(r"^\s+\w+: (?!\{\})[^#\n]+?  # (.*)$", part, re.MULTILINE) if path.stem != "studies" else []
        ):
            assert re.sub(r"[\W_]+", " ", comment).strip() in said, f"{path}: {comment}"


# ---- methods


@pytest.mark.parametrize("name", adapt.list_methods())
def test_every_method_has_a_page_with_its_settings(name: str, composed):
    page = method_pages.page(name)
    assert page.startswith(f"# {name}\n")
    for key, _ in keys(composed["paper"]["method"][name]):
        assert param_pages.breakable(key) in page
    assert f"--method {name}" in page and f"conf/method/{name}.yaml" in page and f"::: adapt.methods.{name}." in page


def test_methods_without_an_entry_show_the_sections_that_they_read():
    page = method_pages.page("random_prune")
    assert all(param_pages.breakable(key) in page for key in ("prune.target", "distill.kind", "optimizer.lr"))


@pytest.mark.parametrize("name", adapt.list_methods())
def test_published_averages_are_on_the_methods_page(name: str):
    page = method_pages.published(name)
    facts = yaml.safe_load((ROOT / "reports/published.yaml").read_text(encoding="utf-8"))
    numbers = [row["average"] for row in facts["results"] if row["method"] == name]
    numbers += [number for row in facts["average_by_shots"] if row["method"] == name for number in row["averages"]]
    assert all(f"{number:.5g}" in page for number in numbers)
    assert ("None was measured here" if numbers else "None is on record") in page


@pytest.mark.parametrize("name", adapt.list_methods())
def test_pocket_numbers_are_marked(name: str):
    said = "\n".join(method_pages.pocket(name))
    assert "say nothing about the paper's" in said or "No run is on record" in said


def test_pocket_numbers_are_the_reports():
    table = (ROOT / "reports/tables/accuracy.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith("| adapt |")).replace("*", "")
    said = "\n".join(method_pages.pocket("adapt")).replace("\u00a0", " ")
    assert " | ".join(cell.strip() for cell in row.split("|")[2:8]) in said


def test_every_difference_is_on_the_page_of_each_method_that_it_names():
    found = list(method_pages.points())
    assert len([named for named, _ in found if named]) > 5
    for named, point in found:
        assert named <= set(adapt.list_methods()), point
        for name in named:
            assert point.splitlines()[0] in "\n".join(method_pages.differences(name))


def test_overrides_are_on_the_methods_page():
    page = method_pages.page("promptsrc")
    assert "datasets: stanford\\_cars" in page and "`gpa_mean: 45.0`" in page


def test_section_that_is_gone_is_named():
    with pytest.raises(AssertionError, match="CONTRIBUTING.md has no section 'An old method'"):
        method_pages.section("CONTRIBUTING.md", "An old method")


def test_tutorial_has_the_recipe_with_its_links():
    page = method_pages.tutorial()
    assert "class Shift(TwoTower)" in page and "](docs/" not in page


# ---- commands and the Python API


def test_every_command_and_option_is_on_its_page():
    page = command_pages.page()
    found = list(command_pages.commands())
    assert {command.prog for command in found} >= {"adapt", "adapt tune", "adapt predict", "adapt data fetch"}
    for command in found:
        assert f"# {command.prog}\n" in page
        part = page.partition(f"# {command.prog}\n")[2].partition("\n#")[0]
        for action in command._actions:
            assert all(f"`{option}" in part for option in action.option_strings)


def test_every_public_name_is_on_the_page_of_the_api():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    made = {f"{getattr(adapt, name).__module__}.{name}" for name in adapt.__all__}
    assert made <= set(re.findall(r"^::: (\S+)", page, re.MULTILINE))


# ---- written pages


def columns(page: str, name: str) -> list[str]:
    """The columns or keys of a file in the tables of docs/files_on_disk.md."""
    row = next(line for line in page.splitlines() if re.match(rf"\| [^|]*`{re.escape(name)}`[^|]*\| `[a-z_]+`", line))
    return re.findall(r"`([a-z_]+)`", row.split("|")[2])


@pytest.fixture(scope="module")
def files_page() -> str:
    return (ROOT / "docs/files_on_disk.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("seed_N.csv", fewshot.COLUMNS),
        ("paths.csv", image_cache.COLUMNS),
        ("images.csv", fewshot_images.COLUMNS),
        ("lengths.csv", run_folder.COLUMNS["lengths.csv"]),
        ("trace.csv", run_folder.COLUMNS["trace.csv"]),
    ],
)
def test_columns_of_files_of_a_run_are_the_codes(name: str, wanted: tuple[str, ...], files_page):
    assert columns(files_page, name) == list(wanted)


def test_files_of_a_run_are_listed(files_page):
    names = {run_folder.PROMPTS, run_folder.CLASSES, run_folder.METRICS, run_folder.PREDICTIONS, "cost.json"}
    for name in names | set(run_folder.COLUMNS):
        assert f"| `{name}` |" in files_page
    assert set(run_folder.COLUMNS["history.csv"]) <= set(columns(files_page, "history.csv"))
    assert {*run_folder.SAME, *run_folder.MEASURED} <= set(columns(files_page, "metrics.json"))


def test_columns_of_reports_are_the_files(files_page):
    folder = ROOT / "reports"
    listed = re.findall(r"^\| `((?:tables|plots|studies)/\w+\.csv|methods\.csv)` \|", files_page, re.MULTILINE)
    committed = {f"{part}/{path.name}" for part in ("tables", "plots") for path in (folder / part).glob("*.csv")}
    studies = {f"studies/{path.name}" for path in (folder / "studies").glob("*.csv")}
    assert set(listed) >= committed - {f"tables/{Path(name).name}" for name in studies}
    for name in listed:
        with (folder / name).open(newline="", encoding="utf-8") as file:
            assert columns(files_page, name) == next(csv.reader(file)), name


def test_glossary_is_in_alphabetical_order_a_sentence_each():
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    entries: list[tuple[str, str]] = re.findall(r"^\*\*(.+?)\*\*\n:   (.+?)(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    terms = [term for term, _ in entries]
    assert len(terms) == text.count("\n:   ") and terms == sorted(terms, key=str.lower)
    assert all(sentence.rstrip()[-1] in '."' and ". " not in sentence.rstrip(".") for _, sentence in entries)


def test_numbers_in_the_faq_are_those_on_record():
    faq = (ROOT / "docs/faq.md").read_text(encoding="utf-8")
    facts = yaml.safe_load((ROOT / "reports/published.yaml").read_text(encoding="utf-8"))
    one, own = [row for row in facts["results"] if row["method"] == "zero_shot"]
    for row in (one, own):
        assert f"{row['by_dataset']['eurosat']:.1f} %" in faq and f"{row['average']:.1f} %" in faq
    (maple,) = [row["average"] for row in facts["results"] if row["method"] == "maple"]
    assert f"{maple} %" in faq and any("79.0 as run by those of LAMM" in caution for caution in facts["cautions"])
    entries = yaml.safe_load((ROOT / "conf/method/maple.yaml").read_text(encoding="utf-8"))
    assert settings.value(entries["maple"]["optimizer"]["epochs"], "paper") == 50


# ---- links out of docs/


def test_links_out_of_the_folder_lead_to_copies():
    text = "[a](../reports/methods.csv), [b](pocket.md#x), ![c](../models/pocket.png), [d](https://a.b/c.md), [e](#f)"
    assert outside.rewrite(text, "data.md") == text.replace("../", "files/")
    assert outside.rewrite("[a](../../conf/config.yaml)", "methods/coop.md") == "[a](../files/conf/config.yaml)"
    assert outside.rewrite("[a](docs/data.md)", "files/README.md") == "[a](../data.md)"
    assert outside.rewrite("[a](../../etc/passwd)", "data.md") == "[a](../../etc/passwd)"


def test_copies_are_followed_to_what_they_link_to():
    found = {path.relative_to(ROOT).as_posix() for path in outside.linked({"pocket.md": "[card](../models/pocket.md)"})}
    assert {"models/pocket.md", "models/pocket.png", "CONTRIBUTING.md", "CHANGELOG.md"} <= found


def test_params_are_all_in_the_model():
    assert {setting.key[0] for setting in settings.of_params()} | {"method"} == set(Params.model_fields)
