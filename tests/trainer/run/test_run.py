"""A run whose stages train one weight of a tiny network, initially 20, with gradients worked out by hand."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pixsearch.errors import Interrupted
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.run.accelerator import make_accelerator
from pixsearch_trainer.run.loop import TrainingFailed
from pixsearch_trainer.run.run import PlannedStage, Run
from pixsearch_trainer.run.stage import Objective, Stage, train_only
from pixsearch_trainer.run.state import RunFolder
from tests.trainer.conftest import assert_ended_alike, figures_in, stop_at
from tests.trainer.run.conftest import Constant, Numbers

Train = Callable[..., float]


class Slope(Objective):
    """A loss of weight x (batch + noise), whose gradient is batch + noise.

    A step takes 15 seconds on the plan's clock, and the first one takes `loading` seconds more.
    """

    def __init__(self, weight: Tensor, plan: Plan, loading: int) -> None:
        super().__init__()
        self.weight, self._plan, self._loading = weight, plan, loading
        self.own = torch.nn.Parameter(torch.rand(()))  # like a head that belongs to the stage

    def forward(self, batch: Numbers) -> dict[str, Tensor]:
        self._plan.now += 15 + self._loading
        self._loading = 0
        return {"loss": self.weight * (batch[0] + self._plan.noise * (self.own.item() + torch.rand(())))}


@dataclass
class Plan:
    """The batches for each stage's steps, and val's score of a weight. A measurement takes 30 seconds."""

    values: list[list[float]]
    score: Callable[[float], float] | None = None
    kept: float = 0.0
    looks: int = 2
    noise: float = 0.0
    looked: list[float] = field(default_factory=list)
    """The weights measured on val."""
    now: float = 0.0

    def stages(self, run: Run) -> list[PlannedStage]:
        """The second stage has three quarters of the time."""
        return [
            PlannedStage(f"stage{number}", 1.0 + 2 * number, lambda n=number: self._stage(run, n))  # type: ignore[misc]
            for number in range(len(self.values))
        ]

    def _stage(self, run: Run, number: int) -> Stage:
        [weight] = train_only(run.network, (1.0, [run.network.get_parameter("similarity_weight")]))
        values = self.values[number]

        def judge() -> tuple[float, dict[str, object]]:
            assert self.score is not None
            self.now += 30
            self.looked.append(weight.item())
            config = dataclasses.replace(run.network.config, rerank=weight.item() > 15)
            run.network.config = run.processor.config = config
            return self.score(weight.item()), {"weight": weight.item()}

        return Stage(
            Slope(weight, self, 75 * number),
            [torch.optim.SGD([weight], lr=1.0, momentum=0.5 if self.noise else 0.0)],
            batches=lambda first: (Numbers([values[step % len(values)]]) for step in count(first)),
            options=Constant(steps=len(values), looks=self.looks, kept=self.kept),
            judge=None if self.score is None else judge,
        )


def near(best: float) -> Callable[[float], float]:
    return lambda weight: -abs(weight - best)


@pytest.fixture
def train(tiny_start: Path) -> Train:
    def train(
        plan: Plan,
        out: Path,
        on_progress: ProgressCallback = silent,
        resume: bool = False,
        minutes: float | None = None,
    ) -> float:
        """Train, and return the final weight."""
        folder = RunFolder(out)
        if not resume:
            folder.begin({})
        run = Run(*load_checkpoint(tiny_start), folder, make_accelerator("no"), print, on_progress, minutes=minutes)
        run.train(plan.stages(run), resume)
        return run.network.get_parameter("similarity_weight").item()

    return train


def weight_in(out: Path) -> float:
    return float(load_checkpoint(out)[0].similarity_weight.item())


def state_in(out: Path) -> dict[str, Any]:
    state = RunFolder(out).load()
    assert state is not None
    return state


def test_what_val_likes_best_of_a_stage_is_handed_on_its_start_included(train: Train, tmp_path: Path) -> None:
    plan = Plan([[1.0, 2.0, 4.0], [8.0]], near(17), looks=3)

    weight = train(plan, tmp_path)

    assert plan.looked == [20, 19, 17, 13, 17, 9]
    assert weight == weight_in(tmp_path) == 17
    assert load_checkpoint(tmp_path)[1].config.rerank  # as in the best measurement
    looks = [(look["name"], look["step"], look["score"]) for look in figures_in(tmp_path)]
    first = [("stage0", step, score) for step, score in ((0, -3), (1, -2), (2, 0), (3, -4))]
    assert looks == [*first, ("stage1", 0, 0), ("stage1", 1, -8)]


def test_without_val_the_last_weights_stay(train: Train, tmp_path: Path) -> None:
    assert train(Plan([[1.0, 2.0], [4.0]]), tmp_path) == weight_in(tmp_path) == 20 - 1 - 2 - 4
    assert not (tmp_path / "figures.json").exists()


def test_kept_weights_are_mixed_into_what_is_measured_and_left_but_not_into_the_training(
    train: Train, tmp_path: Path
) -> None:
    judged = Plan([[4.0, 4.0]], near(0), kept=0.25)

    # During training the weight is 20, 16 and 12.
    assert train(judged, tmp_path / "judged") == train(Plan([[4.0, 4.0]], kept=0.25), tmp_path / "alone") == 14
    assert judged.looked == [20, 0.25 * 20 + 0.75 * 16, 0.25 * 20 + 0.75 * 12]


@pytest.mark.parametrize(
    ("cut_off", "saved", "says"),
    [
        (stop_at("stage0", 1), (0, 1), r"stopped after step 1 of 4 \(stage0\)\. Continue with --resume"),
        (stop_at("stage0", 4, signal.SIGTERM), (0, 4), r"stopped after step 4 of 4 \(stage0\)"),
        (stop_at("stage1", 3), (1, 3), r"stopped after step 3 of 4 \(stage1\)"),
        (stop_at("stage0", 3, MemoryError("killed")), (0, 2), "killed"),  # saved at each measurement
        (stop_at("stage1", 1, MemoryError("killed")), (1, 0), "killed"),  # nothing is saved on exit
    ],
)
def test_a_run_that_was_cut_off_ends_with_the_very_weights_of_one_that_was_not(
    cut_off: ProgressCallback, saved: tuple[int, int], says: str, train: Train, tmp_path: Path
) -> None:
    def plan() -> Plan:
        return Plan([[0.5, 1.0, 1.5, 2.0], [0.25, 0.5, 1.0, 2.0]], near(5), noise=0.1)

    whole, halves = tmp_path / "whole", tmp_path / "halves"
    weight = train(plan(), whole)

    with pytest.raises((Interrupted, MemoryError), match=says):
        train(plan(), halves, cut_off)
    state = state_in(halves)
    torch.manual_seed(99)  # a different process has different generators

    assert (state["stage"], state["step"]) == saved
    assert train(plan(), halves, resume=True) == weight
    assert_ended_alike(halves, whole)


def test_a_broken_batch_leaves_the_step_that_was_saved(train: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"stage0, step 3: the loss is nan for the batch nan\.jpg"):
        train(Plan([[1.0, 2.0, float("nan"), 1.0]], near(20)), tmp_path)

    assert state_in(tmp_path)["objective"]["weight"].item() == 17
    assert train(Plan([[1.0, 2.0, 4.0, 1.0]]), tmp_path, resume=True) == 17 - 4 - 1


def test_a_full_disk_loses_the_step_and_its_figures_come_once(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: RunFolder, state: dict[str, object]) -> None:
        if state["step"]:
            raise OSError(28, "No space left on device")
        save(folder, state)

    plan, save = Plan([[1.0, 2.0]], near(17)), RunFolder.save
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", full)
        with pytest.raises(OSError, match="No space left"):
            train(plan, tmp_path)

    assert train(plan, tmp_path, resume=True) == 17
    assert [look["step"] for look in figures_in(tmp_path)] == [0, 1, 2]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan whose clock advances only in steps and measurements."""

    class Time:
        def monotonic(self) -> float:
            return made.now

    made = Plan([[0.01] * 2, [0.02] * 12], near(0))
    for module in ("run", "loop"):
        monkeypatch.setattr(f"pixsearch_trainer.run.{module}.time", Time())
    return made


STEPS = {
    # A measurement, a rehearsal of every kind of step, and two more measurements.
    "stage0": (900 - 30 - 2 * 15 - 2 * 30) // 15,
    "stage1": (2700 - 30 - (75 + 4 * 15) - 2 * 30) // 15,  # four is the minimum, and more than a twentieth of the time
}


def test_minutes_choose_steps_so_that_the_run_ends_on_time(plan: Plan, train: Train, tmp_path: Path) -> None:
    assert train(plan, tmp_path, minutes=60) == pytest.approx(20 - 52 * 0.01 - 165 * 0.02, abs=1e-3)

    assert plan.now == 3600
    assert state_in(tmp_path)["steps"] == STEPS
    looks = figures_in(tmp_path)
    assert {look["name"]: look["steps"] for look in looks if "seconds_a_step" in look} == STEPS
    assert [look["step"] for look in looks if look["stage"] == 0] == [0, 0, 26, 52]


def test_a_resumed_run_keeps_the_steps_and_has_the_time_that_was_left(plan: Plan, train: Train, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(plan, tmp_path, stop_at("stage0", 20), minutes=60)
    plan.now += 5000  # time without training
    train(plan, tmp_path, resume=True, minutes=60)

    assert state_in(tmp_path)["steps"] == STEPS
    assert plan.now == 5000 + 3600


def test_a_step_is_saved_every_ten_minutes(
    plan: Plan, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.values, plan.score = [[0.0] * 100], None
    saved: list[int] = []
    monkeypatch.setattr(RunFolder, "save", lambda self, state: saved.append(state["step"]))

    train(plan, tmp_path)

    assert saved == [0, 41, 82, 100]
