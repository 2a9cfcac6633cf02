"""The training loop, on a problem with known gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixsearch_trainer.run.accelerator import make_accelerator
from pixsearch_trainer.run.loop import Loop, TrainingFailed
from pixsearch_trainer.run.stage import Objective, Stage
from tests.trainer.run.conftest import Constant, Numbers


class Slope(Objective):
    """A loss of weight x the batch mean, whose gradient is that mean."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1))

    def forward(self, batch: Numbers) -> dict[str, Tensor]:
        loss = self.weight.sum() * torch.tensor(batch).mean()
        return {"loss": loss, "twice": 2 * loss}


class OnGpu:
    """An accelerator that treats the CPU as a GPU."""

    device = torch.device("cuda")

    def __init__(self) -> None:
        self._cpu = make_accelerator("no")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cpu, name)


def stage_of(values: list[list[float]], clip: float | None = None) -> Stage:
    """Return a stage that trains a weight of 1 by SGD with a learning rate of 0.1."""
    objective = Slope()
    return Stage(
        objective,
        [torch.optim.SGD(objective.parameters(), lr=0.1)],
        batches=lambda first: iter([Numbers(batch) for batch in values[first:]]),
        options=Constant(steps=len(values), clip=clip),
    )


def train(stage: Stage) -> list[dict[str, float]]:
    """Train, and return the losses known after each step."""
    loop = Loop(stage, "slope", 0, make_accelerator("no"), seed=0)
    return [dict(loop.losses) for _ in loop.steps(0)]


def weight_of(stage: Stage) -> float:
    return float(stage.objective.get_parameter("weight").item())


def test_a_step_goes_down_the_gradient_by_the_schedules_rate() -> None:
    stage = stage_of([[1.0, 3.0], [4.0]])
    stage.options = Constant(rates=(1.0, 0.5))

    losses = train(stage)

    assert weight_of(stage) == pytest.approx(1 - 0.1 * 2 - 0.05 * 4)
    assert losses == [{"loss": 2, "twice": 4}, {"loss": pytest.approx(0.8 * 4), "twice": pytest.approx(0.8 * 8)}]


def test_a_gradient_is_clipped_to_the_largest_norm() -> None:
    stage = stage_of([[8.0], [0.25]], clip=0.5)
    train(stage)
    assert weight_of(stage) == pytest.approx(1 - 0.1 * 0.5 - 0.1 * 0.25)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_batch() -> None:
    stage = stage_of([[1.0], [float("inf"), 1.0], [1.0]])

    with pytest.raises(
        TrainingFailed, match=r"slope, step 2: the loss is inf for the batch inf\.jpg, 1\.jpg"
    ) as failed:
        train(stage)

    assert weight_of(stage) == pytest.approx(0.9)
    assert "--set slope.learning_rate" in failed.value.hint
    assert "\n" not in str(failed.value)


def test_a_gpu_is_waited_for_every_ten_steps_and_yet_the_batch_is_named_and_no_broken_step_can_be_saved() -> None:
    values = [[float("nan")] if step == 3 else [1.0] for step in range(25)]
    loop, saving = (Loop(stage_of(values), "slope", 0, OnGpu(), seed=0) for _ in range(2))
    steps, until_saved = loop.steps(0), saving.steps(0)

    assert [next(steps)[0] for _ in range(9)] == list(range(1, 10))
    with pytest.raises(TrainingFailed, match=r"step 4: the loss is nan for the batch nan\.jpg"):
        next(steps)
    for _ in range(5):
        next(until_saved)
    with pytest.raises(TrainingFailed, match="step 4"):
        saving.state()
    assert [step for step in range(1, 26) if loop.checks(step)] == [10, 20, 25]


def test_too_little_memory_says_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(self: Slope, batch: Numbers) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr(Slope, "forward", too_much)
    with pytest.raises(TrainingFailed, match=r"a batch of 8 does not fit.*a lower --set slope\.batch"):
        train(stage_of([[1.0] * 8]))


def test_a_rehearsal_changes_neither_weights_nor_optimizers_nor_what_follows() -> None:
    stages = [stage_of([[float(step)] for step in range(1, 9)]) for _ in range(2)]
    for stage in stages:
        stage.optimizers = [torch.optim.SGD(stage.objective.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)]
    rehearsed, untouched = (Loop(stage, "slope", 0, make_accelerator("no"), seed=0) for stage in stages)

    rehearsed.rehearse(budget_s=60)

    assert weight_of(stages[0]) == 1
    assert not stages[0].optimizers[0].state
    for _ in zip(rehearsed.steps(0), untouched.steps(0), strict=True):
        pass
    assert weight_of(stages[0]) == weight_of(stages[1]) != 1
