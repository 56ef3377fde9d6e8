"""The command line `python -m adapt data`: its output and its exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import miniature
from tests.miniature import jpeg, put

ROOT = Path(__file__).parents[2]


def adapt(*arguments: str, data: Path, **settings) -> subprocess.CompletedProcess:
    environment = os.environ | {"ADAPT_DATA": str(data)}
    command = [sys.executable, "-m", "adapt", "data", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, **settings)


@pytest.fixture
def birds(tmp_path) -> Path:
    """A root with a dataset of one's own and FGVC's images in torchvision's layout."""
    miniature.birds(tmp_path)
    miniature.make("fgvc_aircraft", tmp_path, layout=1)
    put(tmp_path / "food-101/images/apple_pie/1.jpg")
    return tmp_path


def test_list_says_what_is_here_and_what_is_missing(birds):
    done = adapt("list", data=birds)
    assert done.returncode == 0 and not done.stderr
    lines = {line.split()[0]: " ".join(line.split()) for line in done.stdout.splitlines()}
    assert lines["datasets"] == f"datasets in {birds} (set ADAPT_DATA for another folder)"
    assert lines["birds"] == "birds here yours"
    assert lines["fgvc_aircraft"].startswith("fgvc_aircraft here 3,334 3,333 3,333 unknown non-commercial research")
    assert lines["food101"].startswith("food101 split missing 50,500 20,200 30,300 4.7 GiB images from Foodspotting")
    assert lines["dtd"] == "dtd missing 2,820 1,128 1,692 0.6 GiB made available for research (VGG)"
    assert lines["imagenet"].startswith("imagenet by hand 1,281,167 – 50,000 144.0 GiB ImageNet's terms")
    assert len(lines) == 2 + 15 + 1 + 5


def test_terminal_that_lacks_a_character_gets_its_number():
    """The list has dashes, which Latin-1 does not."""
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "adapt", "data", "list"], cwd=ROOT, env=environment, capture_output=True
    )
    assert done.returncode == 0 and rb"\u2013" in done.stdout


def test_list_can_be_cut_off():
    done = subprocess.run(
        f"{sys.executable} -m adapt data list | head -1; exit ${{PIPESTATUS[0]}}",
        cwd=ROOT, shell=True, executable="bash", text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode in (0, 141) and not done.stderr


def test_verify_counts_per_split_and_class(birds):
    for number, path in enumerate(sorted(birds.rglob("*.jpg"))):  # no two alike
        path.write_bytes(jpeg(8 + number))
    done = adapt("verify", "birds", "--classes", data=birds)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "birds: train 4 of 4, val 2 of 2, test 2 of 2 images in 2 classes",
        "       2      1      1  robin",
        "       2      1      1  wren",
    ]


def test_verify_of_broken_images_names_them_and_fails(birds):
    (birds / "birds/robin/0.jpg").write_bytes(b"")
    done = adapt("verify", "birds", "digits", data=birds)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: image robin/0.jpg of dataset birds cannot be read (" in done.stderr
    assert "digits: train 898 of 898" in done.stdout


def test_all_names_are_tried_and_all_problems_said(birds):
    done = adapt("fetch", "imagenet", "dtdd", data=birds)
    assert done.returncode == 1
    assert "error: imagenet needs an account and consent to its terms: download ILSVRC2012_img_train.tar" in done.stderr
    assert "there is nothing to fetch for 'dtdd'; did you mean 'dtd'?" in done.stderr


def test_unknown_name_to_verify_is_refused_with_the_nearest(birds):
    done = adapt("verify", "bird", data=birds)
    assert done.returncode == 1 and "unknown dataset 'bird'; did you mean 'birds'?" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("fetch",), ("get", "dtd")])
def test_wrong_usage_is_status_2(arguments, tmp_path):
    assert adapt(*arguments, data=tmp_path).returncode == 2


def test_it_starts_without_torch(tmp_path):
    code = "import sys, adapt.__main__; print({'torch', 'torchvision', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "set()"
