"""The training loop: it has the published schedule and moves the right parameters.

A resumed run equals an undisturbed one.
"""

import copy
import signal

import pytest
import torch

from adapt.config import DistillConfig, PromptsConfig, PruneConfig, SGDConfig
from adapt.data.loader import FewShotLoader
from adapt.errors import UserError
from adapt.methods.adapt import Adapt
from adapt.methods.uniform import Uniform
from adapt.runtime import signals
from adapt.runtime.signals import Interrupted
from adapt.training.optimizers import learning_rate
from adapt.training.trainer import in_words, train
from tests.conftest import Killed

OPTIMISER = SGDConfig(
    name="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4, epochs=6, batch_size=4, warmup_epochs=1, warmup_lr=1e-5
)


class Repeat(FewShotLoader):
    """The same batch every step, one an epoch."""

    def __init__(self, batch):
        object.__setattr__(self, "only", batch)

    def __len__(self) -> int:
        return 1

    def __call__(self, epoch: int, first: int = 0):
        return iter([self.only])


def run(method, batches, **changes):
    """fit, with the number of steps that the optimizer's section says."""
    settings = OPTIMISER.model_copy(
        update={key: changes.pop(key) for key in set(changes) & set(SGDConfig.model_fields)}
    )
    return train(method, batches, settings, steps=settings.epochs * len(batches), **changes)


def make(task, criterion: str = "gate", kind: str = "angular", target: int = 7, of: type = Adapt):
    return of(
        task,
        prompts=PromptsConfig(initial_length=3, ctx_init=None, init_std=0.02),
        prune=PruneConfig(criterion=criterion, data="train", warmup=1, every=2, count=3, target=target),
        distill=DistillConfig(kind=kind, text=1.0, image=1.0),
    )


@pytest.mark.parametrize(
    ("name", "lr", "epochs"),
    [("lr0.0025_epochs50", 0.0025, 50), ("lr0.0035_epochs40", 0.0035, 40), ("lr0.002_epochs200", 0.002, 200)],
)
def test_golden_schedule(name, lr, epochs, golden):
    settings = OPTIMISER.model_copy(update={"lr": lr, "epochs": epochs})
    mine = [learning_rate(settings, 7 * epoch + 3, per_epoch=7, total=7 * epochs) for epoch in range(epochs)]
    assert mine == pytest.approx(golden("lr_schedule.json")[name], rel=1e-9)


def test_every_prompt_moves_and_every_frozen_weight_is_bit_equal(task, batches):
    method, frozen = make(task), copy.deepcopy(task.backbone.model.state_dict())
    method.classifier()(next(batches(0)).images)
    before = [tokens.detach().clone() for tokens in method.parameters()]
    run(method, batches, epochs=2)
    kept = {branch: method.prompts.slots[branch] for branch in ("text", "image")}
    for (branch, slots), old in zip(kept.items(), before, strict=True):
        now = method.prompts.tokens[branch]
        first = old[slots[:, 0] * 3 + slots[:, 1]]
        assert (now != first).any(dim=1).all()
    for key, value in task.backbone.model.state_dict().items():
        assert torch.equal(value, frozen[key]), key


def test_only_prompts_are_trainable(task):
    assert {name for name, _ in make(task).named_parameters()} == {"prompts.tokens.text", "prompts.tokens.image"}


def test_target_is_reached_and_kept(task, batches):
    method = make(task)
    record = run(method, batches)
    assert method.prompts.count() == 7
    assert record.history[-1]["tokens"] == 7


def test_trace_tells_every_removed_token_once(task, batches):
    method = make(task)
    trace = run(method, batches).trace
    gone = {(row["branch"], row["layer"], row["token"]) for row in trace}
    assert len(gone) == len(trace) == 15 - 7
    left = {(branch, *slot) for branch, slots in method.prompts.slots.items() for slot in slots.tolist()}
    assert not gone & left


def test_no_pruning_before_its_epoch(task, batches):
    assert all(row["epoch"] >= 1 for row in run(make(task), batches).trace)


def test_pruned_to_nothing_is_zero_shot(task, batches):
    from adapt.methods.zero_shot import ZeroShot

    method = make(task, target=0)
    run(method, batches)
    images = next(batches(0)).images
    assert method.prompts.count() == 0
    torch.testing.assert_close(method.classifier()(images), ZeroShot(task, text="template").classifier()(images))


def test_loss_after_pruning_is_the_loss_with_those_keys_masked(task, batches):
    method, batch = make(task), next(batches(0))
    biases = {branch: torch.zeros(len(tokens)) for branch, tokens in method.prompts.tokens.items()}
    biases["text"][[1, 5]] = float("-inf")
    biases["image"][2] = float("-inf")
    gates, method.gates = method.gates, biases.get
    masked = method.losses(batch)[0]
    method.gates = gates
    n = len(biases["text"])
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    from adapt.pruning import remove

    list(remove(method.prompts, optimizer, torch.tensor([1, 5, n + 2]), torch.zeros(15)))
    method.saliency.reset()
    torch.testing.assert_close(method.losses(batch)[0], masked)


@pytest.mark.parametrize("criterion", ["snip", "gate", "gradient", "magnitude", "random"])
def test_killed_and_resumed_equals_never_killed(criterion, task, batches, deadly, checkpoint):
    whole = make(task, criterion)
    record = run(whole, batches)
    with pytest.raises(Killed):
        run(make(task, criterion), deadly(3, 1), store=checkpoint())
    resumed = make(task, criterion)
    again = run(resumed, batches, store=checkpoint())
    assert again.history == record.history
    assert again.trace == record.trace
    for key, value in whole.to_tensors().items():
        assert torch.equal(resumed.to_tensors()[key], value), key


@pytest.mark.parametrize("kind", ["angular", "l1", "kl", "pairwise", "none"])
def test_loss_of_every_distillation_goes_down_on_the_same_batch(kind, task, batches):
    batch = next(batches(0))
    losses = [row["loss"] for row in run(make(task, kind=kind), Repeat(batch), lr=1e-3).history]
    assert losses[-1] < losses[1]


def test_uniform_has_the_budget_and_is_not_pruned(task, batches):
    method = make(task, of=Uniform, target=7)
    assert run(method, batches).trace == []
    assert method.lengths() == {"text": [2, 1, 1], "image": [2, 1]}


def test_loss_that_is_not_finite_says_at_which_step_and_what_to_do(task, batches):
    with pytest.raises(UserError) as error:
        run(make(task), batches, lr=1e30, warmup_epochs=0)
    assert str(error.value) == (
        "the loss is nan in epoch 0, at step 2 with learning rate 1e+30; there is no checkpoint before it; lower the "
        "learning rate of this method, optimizer.lr"
    )


def test_loss_that_is_not_finite_names_the_last_good_checkpoint(task, batches, checkpoint):
    store = checkpoint()
    with pytest.raises(UserError, match=r"the last good checkpoint, .*/train/run-f{16}\.pt, is of step 3; lower"):
        run(make(task), batches, lr=1e30, store=store)
    state = store.load()
    assert state and all(value.isfinite().all() for value in state["method"].values())


def test_asked_to_stop_it_finishes_the_step_saves_and_goes_on_from_there(task, batches, checkpoint, monkeypatch):
    monkeypatch.setattr(signals, "_asked", [])
    whole, stopped, resumed = (make(task) for _ in range(3))
    record = run(whole, batches)
    observe = stopped.on_after_backward

    def ask(step: int) -> None:
        observe(step)
        if step == 5:
            signals.request_stop(signal.SIGTERM)

    stopped.on_after_backward = ask
    store = checkpoint(1e9)
    with pytest.raises(Interrupted) as stop:
        run(stopped, batches, store=store)
    assert stop.value.code == 143
    assert store.load()["log"]["steps"] == 5
    signals._asked.clear()
    assert run(resumed, batches, store=checkpoint(1e9)).history == record.history


def counting(method) -> dict[str, float]:
    """A measurement that tells when it was taken."""
    return {"accuracy": method.prompts.count() / 100}


def test_each_epoch_is_told_once_it_is_over(task, batches):
    told = []
    record = run(make(task), batches, on_epoch=told.append)
    assert told == record.history and [row["epoch"] for row in told] == list(range(6))


def test_what_is_measured_is_told_with_its_epoch_and_is_in_no_history(task, batches):
    told = []
    record = run(make(task), batches, measure=counting, on_epoch=told.append)
    assert [row["accuracy"] for row in told] == [row["tokens"] / 100 for row in record.history]
    assert "accuracy" not in record.history[0]


@pytest.mark.parametrize("at", [(3, 0), (3, 1)])
def test_resumed_run_tells_of_every_epoch_once(at, task, batches, deadly, checkpoint):
    whole, again = [], []
    run(make(task), batches, measure=counting, on_epoch=whole.append)
    with pytest.raises(Killed):
        run(make(task), deadly(*at), measure=counting, store=checkpoint())
    run(make(task), batches, measure=counting, on_epoch=again.append, store=checkpoint())
    assert again == whole


def test_run_killed_before_it_told_of_a_saved_epoch_tells_of_it_after(task, batches, checkpoint):
    told = []

    def die(row) -> None:
        if row["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        run(make(task), batches, on_epoch=die, store=checkpoint())
    run(make(task), batches, on_epoch=told.append, store=checkpoint())
    assert [row["epoch"] for row in told] == list(range(6))


def test_measuring_begun_after_a_kill_says_nothing_of_epochs_before(task, batches, deadly, checkpoint):
    told = []
    with pytest.raises(Killed):
        run(make(task), deadly(3, 0), store=checkpoint())
    run(make(task), batches, measure=counting, on_epoch=told.append, store=checkpoint())
    assert ["accuracy" in row for row in told] == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"loss": 1.25, "tokens": 30}, "loss 1.2500, 30 tokens"),
        ({"loss": 0.5, "tokens": 0, "accuracy": 0.8125}, "loss 0.5000, 0 tokens, val accuracy 0.812"),
    ],
)
def test_epoch_in_words(row, words):
    assert in_words(row) == words
