"""Pruning: when, which, and what is left in prompts and optimizer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapt.prompts import Prompts
from adapt.pruning import PrunedToken, Schedule, lowest, remove

WIDTHS = {"text": 4, "image": 6}
# all tokens in order: text layer 0 (2), text layer 2 (1), image layer 0 (1), image layer 1 (2)
SCORES = torch.tensor([3.0, 1.0, 6.0, 2.0, 5.0, 4.0])


@pytest.fixture
def prompts() -> Prompts:
    return Prompts.initialise({"text": [2, 0, 1], "image": [1, 2]}, WIDTHS, std=1.0, seed=0)


@pytest.fixture
def optimizer(prompts) -> torch.optim.Optimizer:
    """After one step, so that momentum is there."""
    made = torch.optim.SGD(prompts.parameters(), lr=0.1, momentum=0.9)
    sum((tokens * tokens).sum() for tokens in prompts.parameters()).backward()
    made.step()
    return made


def test_nothing_is_due_before_the_warmup_ends():
    assert Schedule(warmup=5, every=1, count=4, target=0).num_to_prune(step=40, epoch=4, remaining=96) == 0


def test_count_is_due_every_so_many_steps():
    schedule = Schedule(warmup=1, every=3, count=4, target=0)
    assert [schedule.num_to_prune(step, 1, 96) for step in range(1, 8)] == [0, 0, 4, 0, 0, 4, 0]


def test_last_pruning_stops_at_the_target():
    assert Schedule(warmup=0, every=1, count=4, target=48).num_to_prune(step=1, epoch=0, remaining=50) == 2


def test_nothing_is_due_at_the_target():
    assert Schedule(warmup=0, every=1, count=4, target=48).num_to_prune(step=1, epoch=0, remaining=48) == 0


def test_lowest_takes_the_lowest_scores():
    assert lowest(SCORES, 3).tolist() == [1, 3, 0]


def test_ties_go_by_place():
    assert lowest(torch.ones(5), 2).tolist() == [0, 1]


def test_removal_says_what_went_lowest_first(prompts, optimizer):
    gone = list(remove(prompts, optimizer, lowest(SCORES, 3), SCORES))
    assert gone == [PrunedToken("text", 0, 1, 1.0), PrunedToken("image", 0, 0, 2.0), PrunedToken("text", 0, 0, 3.0)]


def test_exactly_the_lowest_leave_the_tensors(prompts, optimizer):
    text, image = (prompts.tokens[branch].detach().clone() for branch in ("text", "image"))
    list(remove(prompts, optimizer, lowest(SCORES, 3), SCORES))
    assert torch.equal(prompts.tokens["text"], text[2:])
    assert torch.equal(prompts.tokens["image"], image[1:])
    assert prompts.lengths("text") == [0, 0, 1] and prompts.lengths("image") == [0, 2]


def test_tokens_keep_their_names(prompts, optimizer):
    list(remove(prompts, optimizer, torch.tensor([0]), SCORES))
    assert prompts.slots["text"].tolist() == [[0, 1], [2, 0]]


def test_optimiser_state_follows(prompts, optimizer):
    momentum = optimizer.state[prompts.tokens["text"]]["momentum_buffer"].clone()
    list(remove(prompts, optimizer, torch.tensor([0]), SCORES))
    state = optimizer.state[prompts.tokens["text"]]
    assert torch.equal(state["momentum_buffer"], momentum[1:])
    assert len(optimizer.state) == 2


def test_optimiser_steps_the_kept_tokens(prompts, optimizer):
    list(remove(prompts, optimizer, torch.tensor([0]), SCORES))
    before = prompts.tokens["text"].detach().clone()
    optimizer.zero_grad()
    prompts.tokens["text"].sum().backward()
    optimizer.step()
    assert not torch.equal(prompts.tokens["text"], before)


def test_all_tokens_can_go(prompts, optimizer):
    list(remove(prompts, optimizer, lowest(SCORES, 6), SCORES))
    assert prompts.count() == 0


@given(st.data())
def test_pruning_takes_the_lowest_and_keeps_the_order(data):
    lengths = {
        "text": data.draw(st.lists(st.integers(0, 4), min_size=3, max_size=3)),
        "image": data.draw(st.lists(st.integers(0, 4), min_size=2, max_size=2)),
    }
    prompts = Prompts.initialise(lengths, WIDTHS, std=1.0, seed=0)
    total = prompts.count()
    scores = torch.tensor(data.draw(st.permutations([float(score) for score in range(total)])))
    count = data.draw(st.integers(0, total))
    optimizer = torch.optim.SGD(prompts.parameters(), lr=0.1)
    gone = list(remove(prompts, optimizer, lowest(scores, count), scores))
    assert [removal.score for removal in gone] == [float(score) for score in range(count)]
    assert prompts.count() == total - count
    for branch in ("text", "image"):
        assert prompts.slots[branch].tolist() == sorted(prompts.slots[branch].tolist())
        assert sum(prompts.lengths(branch)) == len(prompts.tokens[branch])


def simulate(schedule: Schedule, left: int, per_epoch: int, steps: int) -> list[tuple[int, int]]:
    """What is removed after which step."""
    gone = []
    for step in range(1, steps + 1):
        if count := schedule.num_to_prune(step, (step - 1) // per_epoch, left):
            gone.append((step, count))
            left -= count
    return gone


@given(
    warmup=st.integers(0, 6), every=st.integers(1, 30), count=st.integers(1, 5), target=st.integers(0, 20),
    left=st.integers(0, 200), per_epoch=st.integers(1, 40), epochs=st.integers(1, 12),
)  # fmt: skip
def test_budget_is_reached_by_the_last_step_whatever_their_number(
    warmup, every, count, target, left, per_epoch, epochs
):
    steps = per_epoch * epochs
    schedule = Schedule(warmup, every, count, target).reaching(left, per_epoch=per_epoch, steps=steps)
    gone = simulate(schedule, left, per_epoch, steps)
    assert sum(amount for _, amount in gone) == (max(0, left - target) if epochs > warmup else 0)
    assert all(step > warmup * per_epoch for step, _ in gone)


def test_schedule_that_reaches_its_budget_stays_as_it_is():
    """The paper's schedule: 192 to 128 tokens, two every twenty steps.

    EuroSAT has 40 steps an epoch.
    """
    schedule = Schedule(warmup=5, every=20, count=2, target=128)
    assert schedule.reaching(192, per_epoch=40, steps=1600) == schedule


def test_prunings_take_more_before_they_come_more_often():
    """The pocket preset at one shot of ten classes has one step an epoch.

    So there is time for two prunings where three were needed.
    """
    schedule = Schedule(warmup=5, every=5, count=2, target=18).reaching(24, per_epoch=1, steps=15)
    assert simulate(schedule, 24, 1, 15) == [(10, 3), (15, 3)]


def test_papers_prunings_at_one_shot_of_ten_classes():
    """As docs/method.md has it: EuroSAT, two steps an epoch."""
    schedule = Schedule(warmup=5, every=20, count=2, target=128).reaching(192, per_epoch=2, steps=80)
    assert simulate(schedule, 192, 2, 80) == [(step, 16) for step in (20, 40, 60, 80)]


def test_interval_is_shortened_where_no_pruning_would_come():
    schedule = Schedule(warmup=1, every=50, count=2, target=18).reaching(24, per_epoch=4, steps=12)
    assert [amount for _, amount in simulate(schedule, 24, 4, 12)] == [6]
