"""Properties of every method, and those that make each method what it is."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from adapt import methods
from adapt.clip.encoders import encode_image
from adapt.distillation import Features, logits
from adapt.methods._init_words import text_with_context
from adapt.methods._two_tower import TwoTower
from adapt.methods.prograd import project
from adapt.pipeline import method_configs
from adapt.pipeline.params import Params
from adapt.settings import resolution
from adapt.settings.composition import compose
from adapt.training import optimizers
from adapt.training.predict import accuracy_under_way
from adapt.training.trainer import train
from tests import plain
from tests.conftest import Killed

ROOT = Path(__file__).parents[2]
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
SMALL = {  # what does not fit the small CLIP, or takes long
    "vpt": {"prompt_depth": 2},
    "ivlp": {"prompt_depth": 2},
    "maple": {"prompt_depth": 2},
    "promptsrc": {"prompt_depth": 2, "gpa_mean": 2.0, "gpa_std": 1.0},
    "dpl": {"max_prompt_length": 2, "search_epochs": 2},
    "tip_adapter": {"search_step": [7, 5]},
    "tip_adapter_f": {"search_step": [7, 5]},
    "linear_probe": {"binary_search_steps": 2, "max_iter": 200},
}
EPOCHS = 5
TUNED = sorted(name for name in methods.names() if methods.find(name).trainable)


def settle(name: str, **changes):
    """The pocket's settings of a method, made small."""
    params = Params(**PARAMS)
    prompts = params.prompts.model_copy(update={"initial_length": 2})
    prune = params.prune.model_copy(update={"warmup": 1, "every": 1, "count": 3, "target": 4})
    entries = {**params.method, name: resolution.merge(params.method[name], SMALL.get(name, {}) | changes)}
    changed = params.model_copy(update={"prompts": prompts, "prune": prune, "method": entries})
    config = method_configs.of_params(changed, name, "digits")
    if "optimizer" in type(config).model_fields:
        short = {"epochs": EPOCHS, "n_iters_per_shot": None, "batch_size": 4, "lr": 1e-3}
        known = {key: value for key, value in short.items() if key in type(config.optimizer).model_fields}
        config = config.model_copy(update={"optimizer": config.optimizer.model_copy(update=known)})
    return config


def build(name: str, task, **changes):
    return methods.build(name, task, dict(settle(name, **changes)))


def tune(name: str, task, batches, method=None, **options):
    """A tuned method and its record."""
    settled = settle(name)
    method = method or methods.build(name, task, dict(settled))
    method.on_fit_start(batches, batches)
    if not method.trainable:
        return method, None
    steps = optimizers.num_steps(settled.optimizer, len(batches), shots=2)
    return method, train(method, batches, settled.optimizer, steps=steps, **options)


def predictions(method, batches) -> torch.Tensor:
    with torch.no_grad():
        return method.eval().classifier()(batches.batch(0, 0).images)


# --- every method ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", methods.names())
def test_method_has_a_file_of_its_settings(name):
    """Which begins with paper, command and published number, and which Hydra composes."""
    text = (ROOT / f"conf/method/{name}.yaml").read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("# ")]
    assert any(line.startswith("# Run:       dvc exp run -S 'methods=[") and f"{name}" in line for line in head)
    assert any(line.startswith("# Published: ") for line in head) and any(
        line.startswith("# Sources: ") for line in head
    )
    assert name in PARAMS["method"]


@pytest.mark.parametrize("preset", ["pocket", "paper"])
@pytest.mark.parametrize("name", methods.names())
def test_settings_of_a_methods_file_run_for_a_step(name, preset, task, batches):
    """On the small CLIP, with two and three layers; all other settings as in the file."""
    params = Params(**YAML(typ="safe").load(compose([f"preset={preset}"], ROOT / "conf")))
    entries = resolution.merge(
        params.method, {name: {"prompt_depth": 2} if "prompt_depth" in params.method[name] else {}}
    )
    config = method_configs.of_params(params.model_copy(update={"method": entries}), name, "digits")
    method = methods.build(name, task, dict(config))
    method.on_fit_start(batches, batches)
    if method.trainable:
        assert train(method, batches, config.optimizer, steps=1).steps >= 1
        assert all(torch.isfinite(value).all() for value in method.to_tensors().values() if value.is_floating_point())
    assert predictions(method, batches).shape == (4, 5)


@pytest.mark.parametrize("path", sorted((ROOT / "adapt/methods").glob("*.py")), ids=lambda path: path.stem)
def test_method_is_a_short_file(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", methods.names())
def test_what_is_saved_gives_the_same_predictions(name, task, batches):
    method, _ = tune(name, task, batches)
    again = build(name, task)
    again.load_tensors(method.to_tensors())
    torch.testing.assert_close(predictions(again, batches), predictions(method, batches), rtol=0, atol=0)


@pytest.mark.parametrize("name", methods.names())
def test_frozen_weights_stay_bit_equal(name, task, batches):
    before = copy.deepcopy(task.backbone.model.state_dict())
    tune(name, task, batches)
    for key, value in task.backbone.model.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", TUNED)
def test_tuning_moves_every_parameter(name, task, batches):
    method = build(name, task)
    method.on_fit_start(batches, batches)
    before = {key: value.detach().clone() for key, value in method.named_parameters()}
    method, _ = tune(name, task, batches, method)
    still = [
        key
        for key, value in method.named_parameters()
        if value.numel() and key in before and value.shape == before[key].shape and torch.equal(value, before[key])
    ]
    assert not still


@pytest.mark.parametrize("name", TUNED)
def test_killed_and_resumed_equals_never_killed(name, task, batches, deadly, checkpoint):
    """Three kills: a step after a save, between epochs, and an epoch after a save."""
    whole, record = tune(name, task, batches)
    for at, seconds in (((1, 1), 0.0), ((3, 0), 0.0), ((4, 1), 1e9)):
        with pytest.raises(Killed):
            tune(name, task, deadly(*at), store=checkpoint(seconds))
    resumed, again = tune(name, task, batches, store=checkpoint())
    assert again.history == record.history
    assert again.trace == record.trace
    for key, value in whole.to_tensors().items():
        assert torch.equal(resumed.to_tensors()[key], value), key


@pytest.mark.parametrize("name", methods.names())
def test_same_seed_same_bytes(name, task, batches):
    first, second = (tune(name, task, batches)[0].to_tensors() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", TUNED)
def test_accuracy_taken_after_each_epoch_changes_nothing(name, task, batches):
    """No tensor, no loss, no draw of the global generator."""
    torch.manual_seed(0)
    plain_method, record = tune(name, task, batches)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    measured, again = tune(name, task, batches, measure=lambda m: {"accuracy": accuracy_under_way(m, batches)})
    assert torch.equal(torch.rand(3), drawn)
    assert again.history == record.history and again.trace == record.trace
    for key, value in plain_method.to_tensors().items():
        assert torch.equal(measured.to_tensors()[key], value), key


@pytest.mark.parametrize("name", ["adapt", "uniform", "promptsrc", "ivlp", "maple", "vpt", "coop", "kgcoop"])
def test_step_equals_the_plain_one(name, task, batches, relative_error):
    """77 positions per class, nothing shared or cached: the same loss and gradients.

    Prompts are tokens in the plain step.
    """
    batch = batches.batch(0, 0)
    fast, slow = build(name, task), build(name, task)
    loss, expected = fast.losses(batch)[0], plain.losses(slow, batch)
    loss.backward()
    expected.backward()
    assert relative_error(loss, expected) < 1e-5
    for mine, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
        assert relative_error(mine.grad, theirs.grad) < 1e-4


# --- a new method ----------------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path, monkeypatch) -> str:
    """The method that CONTRIBUTING.md shows, added the way it says."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "shift.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    monkeypatch.setitem(PARAMS["method"], "shift", YAML(typ="safe").load(entry)["shift"])
    return "shift"


def test_toy_method_is_one_file_and_one_entry(toy, task, batches):
    method, record = tune(toy, task, batches)
    assert record.history[-1]["loss"] < record.history[1]["loss"]
    again = build(toy, task)
    again.load_tensors(method.to_tensors())
    torch.testing.assert_close(predictions(again, batches), predictions(method, batches), rtol=0, atol=0)


# --- coop and its kin ------------------------------------------------------------------------------------------------


def test_shared_context_equals_the_plain_path(task, batches, relative_error):
    """The context as what all classes share, or as a part of every class's own text."""
    losses, gradients = [], []
    for shared in (True, False):
        method = build("coop", task, n_ctx=4, csc=not shared)
        with torch.no_grad():  # one context, or the same one for each class
            method.context.copy_(build("coop", task, n_ctx=4, csc=False).context)
        loss = method.losses(batches.batch(0, 0))[0]
        loss.backward()
        losses.append(loss)
        gradients.append(method.context.grad if shared else method.context.grad.sum(dim=0))
    assert relative_error(losses[0], losses[1]) < 1e-5
    assert relative_error(gradients[0], gradients[1]) < 1e-4


def test_words_stand_at_the_end_of_the_context(task):
    context = build("coop", task, n_ctx=6, ctx_init="a photo of a", csc=False).context
    tokens = task.backbone.tokenize(["a photo of a"])[0, 1:5]
    assert torch.equal(context[2:], task.backbone.model.token_embedding(tokens))


@pytest.mark.parametrize(
    ("template", "start"), [("a photo of a {}.", "a photo of a"), ("{} texture.", "a photo of a"), ("an {}", "an")]
)
def test_context_may_start_from_the_datasets_template(template, start, task):
    other = replace(task, template=template)
    words, spelled = (build("coop", other, n_ctx=4, ctx_init=words).context for words in ("template", start))
    assert torch.equal(words, spelled)


def test_context_of_the_template_is_the_template(task):
    """CoOp that starts from the template's words has the zero-shot embeddings."""
    method = build("coop", task, n_ctx=4, ctx_init="a photo of a")
    torch.testing.assert_close(method.text_features(), task.handcrafted)


def test_text_methods_take_the_image_features_of_the_teacher(task, batches):
    batch = batches.batch(0, 0)
    method = build("coop", task)
    torch.testing.assert_close(method.image_features(batch.images), batch.teacher)
    assert method.losses(replace(batch, cut=pytest.fail))[0] == method.losses(batch)[0]


def test_kgcoop_pulls_nothing_at_the_template(task, batches):
    terms = build("kgcoop", task, n_ctx=4).losses(batches.batch(0, 0))[1]
    assert terms["distill_text"].item() == pytest.approx(0, abs=1e-6)


def test_prograd_keeps_a_gradient_that_agrees():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0])
    assert torch.equal(project(a, b, 1.0), a)


def test_prograd_takes_out_what_disagrees():
    a, b = torch.tensor([-1.0, 2.0]), torch.tensor([3.0, 0.0])
    assert torch.equal(project(a, b, 1.0), torch.tensor([0.0, 2.0]))


def test_prograd_steps_by_its_projected_gradient(task, batches):
    method, batch = build("prograd", task), batches.batch(0, 0)
    loss, _ = method.losses(batch)
    loss.backward()
    student = logits(Features(method.text_features(), batch.teacher), task.backbone.logit_scale)
    teacher = logits(Features(task.handcrafted, batch.teacher), task.backbone.logit_scale)
    distance = -(teacher.softmax(dim=1) * student.log_softmax(dim=1)).sum(dim=1).mean()
    (general,) = torch.autograd.grad(distance, method.context)
    expected = project(method.context.grad.clone(), general, 1.0)
    method.on_after_backward(1)
    torch.testing.assert_close(method.context.grad, expected)


def test_context_takes_all_tokens_of_its_words(task):
    """Differs from CoOp's code.

    That takes as many tokens as there are words, and leaves the rest as text behind the context.
    """
    words = "a photomicrograph of a"
    count = int(task.backbone.tokenize([words]).argmax()) - 1
    context = build("coop", task, n_ctx=None, ctx_init=words, csc=False).context
    assert len(context) == count > len(words.split())


@pytest.mark.parametrize("place", ["front", "middle"])
def test_name_that_ends_in_punctuation_keeps_its_tokens(place, task):
    """Differs from CoOp's code.

    That cuts "kite (bird of prey)." after as many tokens as the name alone has. There the bracket and the full stop are
    one token, so the context follows the end of the sentence; here the name, the context and the full stop follow each
    other, as the words are written.
    """
    name = "kite (bird of prey)"
    method = build(
        "coop", replace(task, classes=[name, *task.classes[1:]]), n_ctx=4, ctx_init=None, class_token_position=place
    )
    words = task.backbone.tokenizer([text_with_context(name, 4, place)])[0]
    own, full = task.backbone.tokenize([name])[0], task.backbone.tokenize([f"{name}."])[0]
    alone, whole = (row[1 : int(row.argmax())].tolist() for row in (own, full))
    assert whole[: len(alone)] != alone, "the tokenizer joins the bracket and the full stop"
    kept = [token for slot, token in enumerate(words.tolist()) if slot not in method.positions[0].tolist()]
    assert kept[1 : len(alone) + 1] == alone


@pytest.mark.parametrize("method", ["kgcoop", "prograd", "tip_adapter", "tip_adapter_f"])
def test_frozen_text_stands_in_the_methods_own_template(method, task):
    templates = ["a texture of {}."]
    expected = F.normalize(task.backbone.encode_text(task.text_input(templates[0])), dim=-1)
    torch.testing.assert_close(build(method, task, templates=templates).frozen_text, expected)
    torch.testing.assert_close(build(method, task, templates=None).frozen_text, task.handcrafted)


def test_tip_adapters_text_is_the_mean_over_its_templates(task):
    templates = ["itap of a {}.", "a origami {}."]
    each = [F.normalize(task.backbone.encode_text(task.text_input(template)), dim=-1) for template in templates]
    expected = F.normalize(sum(each) / 2, dim=-1)
    torch.testing.assert_close(build("tip_adapter", task, templates=templates).frozen_text, expected)


# --- deep prompts ----------------------------------------------------------------------------------------------------


TEXT_LENGTH = {"maple": "n_ctx"}  # how a method calls the length of its text prompts
TEMPLATES = [
    "a {}.",
    "icon of {}.",
    "a photo of {}, a type of food.",
    "{} texture.",
    "a centered satellite photo of {}.",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["ivlp", "maple", "promptsrc"])
def test_prompt_of_any_length_leaves_the_class_names(name, template, task):
    """Also if the template has fewer tokens before the name than the prompt.

    The rest is then filled up in front.
    """
    method = build(
        name, replace(task, template=template), ctx_init="template", **{"n_ctx" if name == "maple" else "n_ctx_text": 4}
    )
    assert method.lengths()["text"][:2] == [4, 4]
    features = method.text_features().detach()
    assert all(not torch.allclose(a, b, atol=1e-3) for i, a in enumerate(features) for b in features[:i])
    names = [int(row.argmax()) for row in task.backbone.tokenize(task.classes)]  # tokens and the start
    ends = method.input.lengths
    assert [a - b for a, b in zip(ends, names, strict=True)] == [ends[0] - names[0]] * len(names)


@pytest.mark.parametrize("name", ["ivlp", "maple", "promptsrc"])
def test_prompt_that_is_filled_up_still_starts_from_the_words(name, task):
    first = build(
        name,
        replace(task, template="icon of {}."),
        ctx_init="template",
        **{"n_ctx" if name == "maple" else "n_ctx_text": 4},
    ).text_list[0]
    tokens = task.backbone.tokenize(["icon of"])[0, 1:3]
    assert torch.equal(first[2:], task.backbone.model.token_embedding(tokens))
    assert 0 < float(first[:2].detach().std()) < 0.04, "N(0, 0.02²)"


def test_vpt_encodes_the_classes_once(task, batches):
    method = build("vpt", task)
    method.losses(batches.batch(0, 0))
    assert method.text_features() is method.text_features()


def test_promptsrc_ends_with_the_weighted_mean_of_its_epochs(task, batches):
    """w = 1, 2, 3 … scaled, by hand: the mean of what every epoch left."""
    method = build("promptsrc", task)
    left: list[list[torch.Tensor]] = []
    close = method.on_epoch_end

    def remember(epoch: int) -> None:
        left.append([prompt.detach().clone() for prompt in method.parameters()])
        close(epoch)

    method.on_epoch_end = remember
    method, _ = tune("promptsrc", task, batches, method)
    heights = np.exp(-((np.arange(1, EPOCHS + 1) - 2.0) ** 2) / 2)
    for number, prompt in enumerate(method.parameters()):
        mean = sum(w * prompts[number] for w, prompts in zip(heights / heights.sum(), left, strict=True))
        torch.testing.assert_close(prompt.detach(), mean.float())


def test_maple_projects_its_text_prompts(task):
    method = build("maple", task)
    expected = [
        F.linear(prompt, layer.weight, layer.bias) for prompt, layer in zip(method.text_list, method.maps, strict=True)
    ]
    torch.testing.assert_close(method.image_prompts(), expected)


# --- key/value prompts -----------------------------------------------------------------------------------------------


def key_value(name: str, task, words: str | None, length: int = 2):
    """A method of key/value prompts, whose first text layer starts from these words."""
    config = settle(name)
    prompts = config.prompts.model_copy(update={"ctx_init": words, "initial_length": length})
    prune = config.prune.model_copy(update={"target": length * sum(task.backbone.layers.values())})
    return methods.build(name, task, dict(config) | {"prompts": prompts, "prune": prune}).prompts


@pytest.mark.parametrize("name", ["adapt", "uniform"])
def test_first_text_layer_starts_from_the_words_of_the_template(name, task):
    words = task.backbone.tokenize(["a drawing of"])[0, 1:3]
    first = key_value(name, replace(task, template="a drawing of {}."), "template").by_layer("text")[0]
    assert torch.equal(first, task.backbone.model.token_embedding(words))


@pytest.mark.parametrize("name", ["adapt", "uniform"])
def test_words_change_the_first_text_layer_alone(name, task):
    worded, drawn = (key_value(name, task, words) for words in ("a photo", None))
    assert not torch.equal(worded.by_layer("text")[0], drawn.by_layer("text")[0])
    assert torch.equal(worded.tokens["text"][2:], drawn.tokens["text"][2:])
    assert torch.equal(worded.tokens["image"], drawn.tokens["image"])


def test_layer_longer_than_its_words_has_random_tokens_in_front(task):
    first = key_value("adapt", task, "a photo", length=4).by_layer("text")[0].detach()
    assert torch.equal(first[2:], task.backbone.model.token_embedding(task.backbone.tokenize(["a photo"])[0, 1:3]))
    assert 0 < float(first[:2].std()) < 0.04, "N(0, 0.02²)"


# --- adapters, caches, probes ----------------------------------------------------------------------------------------


def test_lora_starts_as_the_frozen_model(task, batches):
    method = build("clip_lora", task, template=None)
    torch.testing.assert_close(predictions(method, batches), predictions(build("zero_shot", task), batches))


def test_lora_drops_only_while_training(task, batches):
    method, _ = tune("clip_lora", task, batches)
    images = batches.batch(0, 0).images
    assert not torch.equal(method.train().image_features(images), method.image_features(images))
    assert torch.equal(method.eval().image_features(images), method.image_features(images))


def test_tip_adapter_is_its_formula(task, batches):
    method, _ = tune("tip_adapter", task, batches)
    images = batches.batch(0, 0).images
    f = F.normalize(encode_image(task.backbone.model, images), dim=-1)
    keys = F.normalize(batches.view_features.mean(dim=1), dim=-1)
    alpha, beta = method.mix.tolist()
    expected = task.backbone.logit_scale * f @ task.handcrafted.T
    for i, image in enumerate(f):
        for key, label in zip(keys, batches.labels, strict=True):
            expected[i, label] += alpha * torch.exp(-beta * (1 - image @ key))
    torch.testing.assert_close(predictions(method, batches), expected)


def test_tip_adapter_searches_the_whole_grid_on_val(task, batches):
    method, _ = tune("tip_adapter", task, batches)
    features = F.normalize(batches.eval_features, dim=-1)

    def right(alpha: float, beta: float) -> int:
        method.mix = torch.tensor([alpha, beta])
        return int((method.logits(features, task.handcrafted).argmax(dim=1) == batches.labels).sum())

    found = tuple(method.mix.tolist())
    grid = [(0.1 + j * 2.9 / 5, 0.1 + i * 6.9 / 7) for i in range(7) for j in range(5)]
    best = max(grid, key=lambda pair: right(*pair))
    assert found == pytest.approx(best)


def test_tip_adapter_f_tunes_its_keys_alone(task, batches):
    method, _ = tune("tip_adapter_f", task, batches)
    assert [name for name, _ in method.named_parameters()] == ["keys"]


def test_linear_probe_is_scikit_learns(task, batches):
    """With one C left to choose from, at the ends of an empty search."""
    method = build("linear_probe", task, search_list=[1.0], binary_search_steps=1)
    method.on_fit_start(batches, batches)
    features = batches.eval_features.numpy()
    ends = [LogisticRegression(C=c, max_iter=200).fit(features, batches.labels.numpy()) for c in (0.1, 10.0)]
    right = [(made.predict(features) == batches.labels.numpy()).mean() for made in ends]
    chosen = ends[1] if right[0] < right[1] else ends[0]
    images = batches.batch(0, 0).images
    expected = chosen.predict(encode_image(task.backbone.model, images).numpy())
    assert predictions(method, batches).argmax(dim=1).tolist() == expected.tolist()


# --- lengths that are found ------------------------------------------------------------------------------------------


def test_dpl_takes_the_likeliest_lengths(task, batches):
    method, record = tune("dpl", task, batches)
    likeliest = {branch: alpha.argmax(dim=1).tolist() for branch, alpha in method.alphas.items()}
    assert method.lengths() == likeliest
    assert len(record.history) == 2 + EPOCHS


def test_dpl_teaches_alpha_while_it_searches(task, batches):
    method = build("dpl", task)
    before = {branch: alpha.detach().clone() for branch, alpha in method.alphas.items()}
    tune("dpl", task, batches, method)
    assert all((alpha != before[branch]).any() for branch, alpha in method.alphas.items())


def test_dpl_teaches_alpha_on_val_images_as_evaluation_sees_them(task, batches):
    """The gradient of α is that of a batch of its own size, in centre crops."""
    val = replace(batches, seed=7)
    method = build("dpl", task, alpha_batch_size=5)
    method.on_fit_start(batches, val)
    expected, seen = val.eval_batch(0, 5), []
    losses = TwoTower.losses

    def remember(self, batch):
        seen.append(batch)
        return losses(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwoTower, "losses", remember)
        method.losses(batches.batch(0, 0))
    assert torch.equal(seen[0].images, expected.images) and torch.equal(seen[0].labels, expected.labels)
    assert torch.equal(seen[1].images, batches.batch(0, 0).images)


def test_adapt_reaches_its_budget_in_the_steps_there_are(task, batches):
    """One token every three steps would take 18 steps; there are ten."""
    slow = {"warmup": 1, "every": 3, "count": 1, "target": 4}
    settled = settle("adapt")
    settled = settled.model_copy(update={"prune": settled.prune.model_copy(update=slow)})
    method = methods.build("adapt", task, dict(settled))
    method, record = tune("adapt", task, batches, method)
    assert method.prompts.count() == method.budget() == 4
    assert {row["step"] % 3 for row in record.trace} == {0}


def test_random_prune_draws_whatever_the_criterion(task):
    assert build("random_prune", task).saliency.criterion.__name__ == "random"


def test_post_hoc_prunes_once_at_the_end(task, batches):
    method, record = tune("post_hoc", task, batches)
    assert method.prompts.count() == 4
    assert {row["step"] for row in record.trace} == {record.steps}
    assert [row["tokens"] for row in record.history] == [10] * EPOCHS


def test_post_hoc_scores_the_last_epoch(task, batches):
    method = build("post_hoc", task)
    sums: list[torch.Tensor] = []
    prune = method.prune

    def look(count, optimizer):
        sums.append(method.saliency.scores().clone())
        return prune(count, optimizer)

    method.prune = look
    seen: list[torch.Tensor] = []
    observe = method.on_after_backward

    def remember(step: int) -> None:
        before = torch.zeros(10) if (step - 1) % len(batches) == 0 else method.saliency.scores().clone()
        observe(step)
        seen.append(method.saliency.scores() - before)

    method.on_after_backward = remember
    tune("post_hoc", task, batches, method)
    torch.testing.assert_close(sums[0], sum(seen[-len(batches) :]))
