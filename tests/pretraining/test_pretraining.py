"""Pre-training of the pocket CLIP: pictures, captions, the loop, stored weights."""

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional as F

from adapt.clip import backbone as clip
from adapt.config import PretrainConfig
from adapt.data import builtin
from adapt.data.glyphs import FAMILIES, FONTS, Glyph, icons
from adapt.pipeline.params import load
from adapt.pretraining import probe
from adapt.pretraining.augment import Pictures, skeletons
from adapt.pretraining.captions import (
    CLEAN,
    TEMPLATES,
    Captions,
    Subject,
    icon_subjects,
    one_size,
    phrases,
    subjects,
    words_of,
)
from adapt.pretraining.contrastive import Schedule, build, contrast, encode_text, expand, go_on, train
from adapt.runtime import formats
from adapt.runtime.checkpoint import Checkpoint
from tests.conftest import Killed
from tests.project import ROOT

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "layers": 2, "heads": 2},
}
BATCH = {"icon": 12, "digit": 4, "letter": 4}
RECIPE = {"batch": BATCH, "weight_decay": 0.1, "clip": 1.0, "seed": 0, "precision": "bfloat16"}


@pytest.fixture(scope="module")
def drawings() -> list[Subject]:
    everything = subjects(["typicons"])
    return everything[:300:10] + everything[-62 * len(FONTS) :: 30]


@pytest.fixture(scope="module")
def captions(drawings) -> Captions:
    return Captions(drawings)


@pytest.fixture(scope="module")
def pictures(drawings, captions) -> Pictures:
    return Pictures(drawings, captions)


@pytest.fixture
def model(captions) -> open_clip.CLIP:
    return build(CONFIG, captions.length, len(captions.vocabulary), seed=0)


def test_phrases_go_from_the_whole_name_to_its_leading_word():
    assert phrases(["arrow", "up", "bold", "outline"]) == ("arrow up bold outline", "arrow up", "arrow")


def test_the_recipe_names_families_that_are_not_tuned_on():
    known = get_args(get_args(PretrainConfig.model_fields["families"].annotation)[0])
    assert set(known) == set(CLEAN) == set(FAMILIES) - set(builtin.NAMES)


@pytest.mark.parametrize(
    ("family", "name", "words"),
    [
        ("bootstrap", "trash3-fill", "trash"),
        ("codicon", "git-pull-request", "git pull request"),
        ("elusive", "address-book-alt", "address book"),
        ("eva", "alert-circle-outline", "alert circle"),
        ("fluent", "ic-fluent-arrow-reply-24-filled", "arrow reply"),
        ("google", "arrow_back_ios_new", "arrow back new"),
        ("ionicons", "ion-ios-game-controller-a", "game controller"),
        ("lucide", "icon-file-code-2", "file code"),
        ("material", "arrow-up-bold-outline", "arrow up bold outline"),
        ("typicons", "th-large-outline", "th large"),
    ],
)
def test_names_are_words(family: str, name: str, words: str):
    glyphs = [glyph for glyph in icons(family) if glyph.name == name]
    assert glyphs and " ".join(words_of(family, name)) == words


def test_an_icon_whose_mirror_image_would_be_wrong_is_sided():
    sided = {subject.phrases[0]: subject.sided for subject in icon_subjects("typicons")}
    assert sided["arrow left"] and not sided["home"]


def test_of_several_sizes_one_is_taken():
    names = ["ic-fluent-key-16-filled", "ic-fluent-key-20-filled", "ic-fluent-key-32-filled", "ic-fluent-eye-12-filled"]
    taken = one_size(Glyph(name, Path(), name) for name in names)
    assert [glyph.name for glyph in taken] == [names[1], names[3]]


def test_trade_marks_and_blanks_are_left_out():
    seen = {subject.glyph.name for subject in icon_subjects("codicon")}
    names = {glyph.name for glyph in icons("codicon")}
    assert {"github", "blank"} <= names - seen and "git-commit" in seen


def test_no_drawing_is_seen_twice_under_one_name():
    drawn = [(subject.phrases[0], subject.mask.tobytes()) for subject in icon_subjects("ionicons")]
    assert len(set(drawn)) == len(drawn) < len(icons("ionicons"))


def test_captions_are_what_the_stock_tokenizer_says(captions):
    stock = np.array(captions.vocabulary)
    for kind, sets in TEMPLATES.items():
        for template in (text for group, _ in sets for text in group[::7]):
            for number, phrase in list(enumerate(captions.phrases))[::20]:
                tokens = captions.tokens(number, template)
                expected = open_clip.tokenize([template.format(phrase)])[0]
                assert stock[tokens].tolist() == expected[: len(tokens)].tolist(), (kind, template, phrase)
                assert not expected[len(tokens) :].any()
                assert len(tokens) <= captions.length


def test_every_class_name_and_template_of_the_pocket_is_among_the_captions():
    captions = Captions(subjects(load(ROOT / "params.yaml").pretrain.families))
    templates = {template for sets in TEMPLATES.values() for group, _ in sets for template in group}
    for dataset in map(builtin.load, builtin.NAMES):
        assert set(dataset.classes) <= set(captions.phrases)
        assert dataset.template in templates


def test_a_skeleton_is_one_pixel_wide_and_inside():
    bar = np.zeros((1, 64, 64), np.uint8)
    bar[0, 20:29, 8:56] = 255
    bone = skeletons(bar)
    assert not (bone & ~bar).any()
    assert ((bone[0, :, 16:48] > 0).sum(0) == 1).all()


def test_a_batch_depends_on_the_seed_alone_and_each_caption_is_true_of_its_picture(pictures):
    def draw(seed):
        torch.manual_seed(seed)
        return pictures.batch(np.random.default_rng(seed), BATCH, 32)

    images, tokens, positive = draw(1)
    assert images.shape == (20, 3, 32, 32)
    assert 0 <= images.min() < 0.1 and 0.9 < images.max() <= 1
    assert positive.diagonal().all()
    assert all(torch.equal(*pair) for pair in zip(draw(1), (images, tokens, positive), strict=True))
    assert not torch.equal(draw(2)[0], images)


def test_short_text_encoding_equals_the_whole_context(model, captions, pictures):
    _, tokens, _ = pictures.batch(np.random.default_rng(0), BATCH, 32)
    padded = F.pad(tokens, (0, captions.length - tokens.shape[1]))
    torch.testing.assert_close(encode_text(model, tokens), model.encode_text(padded))


def test_contrast_is_clips_loss_where_each_row_has_one_partner():
    images, texts = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor(2.0)
    expected = open_clip.ClipLoss()(F.normalize(images, dim=-1), F.normalize(texts, dim=-1), scale.exp())
    torch.testing.assert_close(contrast(images, texts, scale, torch.eye(6, dtype=torch.bool)), expected)


def test_partners_share_the_target():
    images = F.normalize(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    images[1] = images[0]
    positive = torch.eye(3, dtype=torch.bool)
    positive[:2, :2] = True
    best = contrast(images, images, torch.tensor(4.0), positive)
    assert best < contrast(images, images, torch.tensor(4.0), torch.eye(3, dtype=torch.bool)) + 1e-6


def test_rate_warms_up_stays_and_decays():
    schedule = Schedule(steps=100, lr=1.0, warmup=10, decay=20)
    assert [round(schedule.rate(step), 3) for step in (0, 9, 50, 80, 90, 99)] == [0.1, 1, 1, 1, 0.5, 0.05]


def run(
    model: open_clip.CLIP, pictures: Pictures, store: Checkpoint, killed_at: int | None = None
) -> list[dict[str, int | float]]:
    """Six steps."""

    def bar(steps: Iterable[int]) -> Iterator[int]:
        for step in steps:
            if step == killed_at:
                raise Killed
            yield step

    return train(model, pictures, Schedule(6, 1e-3, 2, 1), store, bar=bar, **RECIPE)


def test_killed_and_resumed_equals_never_killed(model, pictures, checkpoint, monkeypatch):
    monkeypatch.setattr("adapt.pretraining.contrastive.LOG_EVERY", 2)
    other = copy.deepcopy(model)
    log = run(model, pictures, checkpoint(run="whole"))
    with pytest.raises(Killed):
        run(copy.deepcopy(other), pictures, checkpoint(), killed_at=5)
    again = run(other, pictures, checkpoint())
    assert [row["loss"] for row in again] == [row["loss"] for row in log]
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_expanded_weights_say_the_same_in_the_full_architecture(model, captions):
    full = open_clip.CLIP(CONFIG["embed_dim"], CONFIG["vision_cfg"], CONFIG["text_cfg"])
    full.load_state_dict(expand(model, captions.vocabulary, CONFIG))
    tokens = captions.tokens(3, "a photo of a {}.")
    stock = torch.zeros(1, 77, dtype=torch.long)
    stock[0, : len(tokens)] = torch.tensor(captions.vocabulary)[tokens]
    torch.testing.assert_close(full.encode_text(stock), encode_text(model, torch.tensor([tokens])))


def test_weights_go_on_where_they_were_left(model, captions):
    other = build(CONFIG, captions.length, len(captions.vocabulary), seed=1)
    go_on(other, captions.vocabulary, expand(model, captions.vocabulary, CONFIG))
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


MODEL = Path("models/pocket.safetensors")


def test_the_kept_weights_load_strictly_and_score_as_the_card_says():
    backbone = clip.load("pocket", str(MODEL), "cpu")
    scores = formats.read_csv(MODEL.with_name("pocket_scores.csv"), "make pretrain")
    assert [row["dataset"] for row in scores] == list(builtin.NAMES)
    row = scores[2]
    dataset = builtin.load(row["dataset"])
    assert probe.zero_shot(backbone, dataset, dataset.test) == pytest.approx(float(row["zero_shot"]), abs=0.01)


def test_the_card_quotes_the_log_and_the_scores():
    card = MODEL.with_suffix(".md").read_text(encoding="utf-8")
    log = formats.read_csv(MODEL.with_suffix(".csv"), "make pretrain")
    assert f"{sum(float(row['seconds']) for row in log) / 60:.0f} minutes" in card
    assert f"last 50 steps is {float(log[-1]['loss']):.2f}" in card
    for row in formats.read_csv(MODEL.with_name("pocket_scores.csv"), "make pretrain"):
        zero_shot, linear_probe, std = (
            f"{100 * float(row[key]):.1f}" for key in ("zero_shot", "linear_probe", "linear_probe_std")
        )
        assert f"| {row['dataset']} | {zero_shot} | {linear_probe} ± {std} |" in card
