"""The catalogue: every dataset is read in every layout.

Broken datasets are refused with a sentence.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from adapt.data import builtin, catalog, readers
from adapt.data.dataset import Dataset
from adapt.data.sampling import sample
from adapt.data.specs import DatasetSpec, JsonSplit, Sizes, dataset_specs
from adapt.errors import UserError
from tests import miniature

LAYOUTS = [(name, layout) for name, entry in dataset_specs().items() for layout in range(len(entry.images))]


def sizes(dataset: Dataset) -> Sizes:
    return Sizes(train=len(dataset.train), val=len(dataset.val), test=len(dataset.test))


@pytest.fixture(scope="module", params=LAYOUTS, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetSpec, Dataset]:
    """The miniature's entry, and the dataset that its reader returns."""
    name, layout = request.param
    root = tmp_path_factory.mktemp(name)
    entry = miniature.make(name, root, layout)
    return entry, readers.read(name, entry, root)


def test_reader_finds_the_catalogues_counts_in_each_layout(case):
    entry, dataset = case
    assert sizes(dataset) == entry.sizes
    assert len(dataset.classes) == dataset_specs()[dataset.name].classes
    assert dataset.template == dataset_specs()[dataset.name].template


def test_items_can_be_opened_and_carry_their_class_name(case):
    _, dataset = case
    for part in (dataset.train, dataset.val, dataset.test):
        for item in part[:: max(1, len(part) // 7)]:
            assert dataset.image(item.path).size == (8, 8)
            assert dataset.classes[item.label] == item.name


def test_all_eleven_and_the_shifts_are_known_beside_the_pockets():
    assert len(catalog.names(Path("nowhere"))) == len(builtin.NAMES) + 11
    assert catalog.shifts() == ["imagenet_v2", "imagenet_sketch", "imagenet_a", "imagenet_r"]


def test_sizes_add_up_to_the_images_that_the_datasets_have():
    totals = {name: sum(entry.sizes.model_dump().values()) for name, entry in dataset_specs().items()}
    assert totals["oxford_flowers"] == 8189 and totals["dtd"] == 5640 and totals["eurosat"] == 27000
    assert totals["fgvc_aircraft"] == 10000 and totals["food101"] == 101000 and totals["sun397"] == 397 * 100


def test_underscores_of_class_names_become_spaces(tmp_path):
    dataset = readers.read("dtd", miniature.make("dtd", tmp_path), tmp_path)
    assert dataset.classes[1] == "the class 1"


def test_items_stay_in_the_split_files_order_which_sampling_follows(tmp_path):
    dataset = readers.read("oxford_flowers", miniature.make("oxford_flowers", tmp_path), tmp_path)
    assert dataset.train[0].label == 101 and dataset.train[-1].label == 0


def test_a_class_name_of_fgvc_may_hold_spaces_and_slashes(tmp_path):
    dataset = readers.read("fgvc_aircraft", miniature.make("fgvc_aircraft", tmp_path), tmp_path)
    assert dataset.classes[3] == "F/A-3 mark 3"


def test_imagenets_names_go_with_their_wnids():
    known = readers.imagenet_names()
    assert len(known) == 1000 and list(known) == sorted(known)
    assert (known["n01440764"], known["n02012849"], known["n15075141"]) == ("tench", "crane bird", "toilet paper")
    assert sorted(name for name, count in Counter(known.values()).items() if count > 1) == ["missile", "sunglasses"]


def test_imagenets_names_are_open_clips():
    from open_clip import IMAGENET_CLASSNAMES

    assert list(readers.imagenet_names().values()) == list(IMAGENET_CLASSNAMES)


def test_imagenet_a_ranks_its_own_200_classes(tmp_path):
    dataset = readers.read("imagenet_a", miniature.make("imagenet_a", tmp_path), tmp_path)
    assert {item.label for item in dataset.test} == set(range(200))
    assert dataset.test[0].path == "n01498041/n01498041_1.JPEG" and dataset.test[0].name == "stingray"


def test_imagenet_v2s_folders_are_numbers_and_do_not_sort_as_text(tmp_path):
    dataset = readers.read("imagenet_v2", miniature.make("imagenet_v2", tmp_path), tmp_path)
    assert next(item for item in dataset.test if item.path.startswith("10/")).label == 10
    assert dataset.classes[2] == "great white shark"


@pytest.mark.parametrize("name", ["eurosat", "caltech101", "sun397"])
def test_torchvision_finds_the_same_images_in_its_layout(name, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    entry = miniature.make(name, tmp_path, layout=len(dataset_specs()[name].images) - 1)
    if name == "sun397":
        places = sorted({f"/a/{path.name}" for path in (tmp_path / "SUN397/a").iterdir()})
        miniature.put(tmp_path / "SUN397/ClassName.txt", "\n".join(places).encode())
    theirs = {"eurosat": datasets.EuroSAT, "caltech101": datasets.Caltech101, "sun397": datasets.SUN397}[name]
    assert len(theirs(str(tmp_path))) == sum(entry.sizes.model_dump().values())


def test_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="unknown dataset 'caltech'; did you mean 'caltech101'?"):
        catalog.load("caltech", tmp_path)


def test_missing_images_say_what_gets_them(tmp_path):
    with pytest.raises(UserError) as error:
        catalog.load("dtd", tmp_path)
    assert str(error.value) == (
        f"dataset dtd: its images are not in {tmp_path}/dtd/images (no banded there); get it with "
        "`python -m adapt data fetch dtd`, or set data.root (or ADAPT_DATA) to the folder of your datasets"
    )


def test_missing_split_says_what_gets_it(tmp_path):
    entry = miniature.make("dtd", tmp_path)
    (tmp_path / "dtd/split_zhou_DescribableTextures.json").unlink()
    with pytest.raises(UserError) as error:
        readers.read("dtd", entry, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/dtd/split_zhou_DescribableTextures.json cannot be read (No such file or directory); "
        "get it with `python -m adapt data fetch dtd`"
    )


def test_split_that_is_not_coops_is_refused(tmp_path):
    miniature.make("dtd", tmp_path)
    with pytest.raises(UserError, match=r"is not the published file: its SHA-256 is .*…, not f26ebeccd2b5…; delete it"):
        catalog.load("dtd", tmp_path)


def test_changed_list_of_fgvc_is_refused(tmp_path):
    entry = miniature.make("fgvc_aircraft", tmp_path)
    with (tmp_path / "fgvc_aircraft/variants.txt").open("a", encoding="utf-8") as file:
        file.write("747\n")
    with pytest.raises(UserError, match=r"variants.txt is not the published file"):
        readers.read("fgvc_aircraft", entry, tmp_path)


def test_missing_class_folder_is_refused_rather_than_shifting_labels(tmp_path):
    entry = miniature.make("imagenet_r", tmp_path)
    folder = next(path for path in (tmp_path / entry.images[0]).iterdir() if path.is_dir() and path.name != "n01443537")
    (folder / f"{folder.name}_1.JPEG").unlink()
    folder.rmdir()
    with pytest.raises(UserError, match=r"imagenet-r has 199 class folders, expected 200 of ImageNet's: unpack"):
        readers.read("imagenet_r", entry, tmp_path)


def test_empty_class_folder_is_named(tmp_path):
    entry = miniature.make("imagenet_v2", tmp_path)
    folder = tmp_path / entry.images[0] / "500"
    (folder / "500_1.JPEG").unlink()
    with pytest.raises(UserError, match=f"{folder} holds no images: unpack the whole archive again"):
        readers.read("imagenet_v2", entry, tmp_path)


def test_unsorted_validation_images_of_imagenet_are_refused(tmp_path):
    entry = miniature.make("imagenet", tmp_path)
    (tmp_path / "imagenet/images/val/new").mkdir()
    with pytest.raises(UserError, match=r"val has 1001 class folders, among them 'new', expected 1000"):
        readers.read("imagenet", entry, tmp_path)


def altered(entry: DatasetSpec, root: Path, change) -> DatasetSpec:
    """Change a split file's content, and return the entry with the new checksum."""
    split = entry.split
    assert isinstance(split, JsonSplit)
    rows = json.loads((root / split.file).read_text(encoding="utf-8"))
    content = json.dumps(change(rows)).encode()
    (root / split.file).write_bytes(content)
    new = split.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    return entry.model_copy(update={"split": new})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s | {"val": [["../secret.jpg", 0, "the_class_0"]]}, "the path '../secret.jpg' leads out of the"),
        (lambda s: s | {"val": [["/etc/secret.jpg", 0, "the_class_0"]]}, "the path '/etc/secret.jpg' leads out of the"),
        (lambda s: s | {"val": [["a/../../b.jpg", 0, "the_class_0"]]}, "the path 'a/../../b.jpg' leads out of the"),
        (lambda s: s | {"val": [["a.jpg", 0, "other"]]}, "label 0 is both 'the_class_0' and 'other'"),
        (lambda s: s | {"val": [["a.jpg", 99, "other"]]}, "the labels of 48 classes are 0 … 47, got 99"),
        (lambda s: s | {"val": [["a.jpg", "0", "x"]]}, r"not a split in CoOp's format: \['val'\]\[0\]\[1\]: Input"),
        (lambda s: {"train": s["train"], "test": s["test"]}, "not a split in CoOp's format: it has no 'val'"),
        (lambda s: [], "not a split in CoOp's format: the file: Input should be an object"),
        (lambda s: {k: v[: len(v) // 2] for k, v in s.items()}, "the labels of 24 classes are 0 … 23, got 24"),
    ],
)
def test_split_from_elsewhere_is_not_trusted(change, message, tmp_path):
    entry = altered(miniature.make("dtd", tmp_path), tmp_path, change)
    with pytest.raises(UserError, match=message):
        readers.read("dtd", entry, tmp_path)


def test_image_that_the_split_names_but_is_not_there_is_named(tmp_path):
    entry = miniature.make("eurosat", tmp_path)
    dataset = readers.read("eurosat", entry, tmp_path)
    (tmp_path / "eurosat/2750" / dataset.test[0].path).unlink()
    with pytest.raises(UserError, match=rf"image {dataset.test[0].path} of dataset eurosat cannot be read .*No such"):
        dataset.image(dataset.test[0].path)


def test_the_shots_of_the_miniature_are_drawn_per_class(tmp_path):
    dataset = readers.read("ucf101", miniature.make("ucf101", tmp_path), tmp_path)
    counts = Counter(item.label for item in sample(dataset.train, dataset.val, 2, 1).train)
    assert len(counts) == 101 and set(counts.values()) == {2}
