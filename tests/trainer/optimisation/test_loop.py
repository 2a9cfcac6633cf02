"""A stage, on a problem whose gradients can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pixsearch.errors import CheckpointInvalid
from pixsearch.progress import Progress, silent
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.optimisation.accelerator import make_accelerator
from pixsearch_trainer.optimisation.log import RunLog
from pixsearch_trainer.optimisation.loop import LoopOptions, Stage, TrainingFailed, train_stage
from pixsearch_trainer.optimisation.state import RunFolder

OPTIONS = LoopOptions(log_every=1)


@dataclass
class Numbers:
    """A batch of numbers."""

    values: list[float]

    @property
    def names(self) -> list[str]:
        return [f"{value:g}.jpg" for value in self.values]

    def __len__(self) -> int:
        return len(self.values)


class Slope(Objective):
    """The loss is weight x the mean of the batch: its gradient is that mean."""

    network: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.network.weight)

    def forward(self, batch: Numbers) -> dict[str, Tensor]:
        loss = (self.network.weight * torch.tensor(batch.values).mean()).sum()
        return {"loss": loss, "twice": 2 * loss}


def train(
    out: Path,
    values: list[list[float]],
    options: LoopOptions = OPTIONS,
    schedule: Callable[[int], float] = lambda step: 1.0,
    measure: Callable[[int], None] | None = None,
    saved: dict[str, object] | None = None,
    on_progress: Callable[[Progress], None] = silent,
) -> float:
    """By SGD with a rate of 0.1 from a weight of 1; gives back the weight."""
    objective = Slope()
    folder = RunFolder(out)
    if saved is None:
        folder.begin({})
    stage = Stage(
        number=0,
        name="slope",
        objective=objective,
        batches=lambda first: iter([Numbers(batch) for batch in values[first:]]),
        optimizers=[torch.optim.SGD(objective.parameters(), lr=0.1)],
        schedule=schedule,
        steps=len(values) // options.accumulate,
        measure_every=1,
        measure=measure,
    )
    log = RunLog(out, None if saved is None else (0, saved["step"]), False)  # type: ignore[arg-type]
    train_stage(stage, options, make_accelerator("no"), folder, log, saved, on_progress)
    return float(objective.network.weight.item())


def test_a_step_goes_down_the_gradient_by_the_schedules_rate(tmp_path: Path) -> None:
    assert train(tmp_path, [[1.0, 3.0], [4.0]], schedule=lambda step: (1.0, 0.5)[step]) == pytest.approx(
        1 - 0.1 * 2 - 0.05 * 4
    )


def test_gradients_of_accumulated_batches_are_averaged(tmp_path: Path) -> None:
    twice = replace(OPTIONS, accumulate=2)

    assert train(tmp_path / "two", [[1.0], [3.0], [5.0], [7.0]], twice) == pytest.approx(1 - 0.1 * 2 - 0.1 * 6)
    assert train(tmp_path / "one", [[1.0, 3.0], [5.0, 7.0]]) == pytest.approx(1 - 0.1 * 2 - 0.1 * 6)


def test_a_gradient_is_clipped_to_the_largest_norm(tmp_path: Path) -> None:
    assert train(tmp_path, [[8.0], [0.25]], replace(OPTIONS, clip=0.5)) == pytest.approx(1 - 0.1 * 0.5 - 0.1 * 0.25)


def test_an_average_follows_by_its_decay_and_is_what_is_measured_and_left(tmp_path: Path) -> None:
    """The weight is 0.9 after the first step, where the average begins, and 0.8 and 0.7 after the next two."""
    measured: list[int] = []

    left = train(tmp_path, [[1.0]] * 3, replace(OPTIONS, ema=0.75), measure=measured.append)

    assert left == pytest.approx(0.75 * (0.75 * 0.9 + 0.25 * 0.8) + 0.25 * 0.7)
    assert measured == [1, 2, 3]


def test_the_log_has_a_line_a_step_with_losses_and_rate(tmp_path: Path) -> None:
    train(tmp_path, [[1.0], [2.0]])

    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["stage"], first["step"], first["name"]) == (0, 1, "slope")
    assert (first["loss"], first["twice"], first["learning_rate"]) == (1.0, 2.0, 0.1)
    assert second["loss"] == pytest.approx(0.9 * 2)
    assert second["pictures_per_second"] > 0


def test_a_loss_that_is_not_finite_ends_the_run_before_the_update_and_names_the_batch(tmp_path: Path) -> None:
    shown: list[str] = []

    with pytest.raises(TrainingFailed, match=r"slope, step 2: the loss is inf on the batch inf\.jpg, 1\.jpg"):
        train(
            tmp_path,
            [[1.0], [float("inf"), 1.0]],
            replace(OPTIONS, save_every_steps=1),
            on_progress=lambda progress: shown.append(progress.note),
        )

    assert len(shown) == 1
    state = RunFolder(tmp_path).load()
    assert state is not None
    assert state["step"] == 1
    assert state["objective"]["network.weight"].item() == pytest.approx(0.9)


def test_a_run_goes_on_from_its_state_with_the_batch_after(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", [[1.0], [2.0], [3.0], [4.0]])
    values = [[1.0], [2.0], [3.0], [4.0]]

    def die(progress: Progress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "halves", values, replace(OPTIONS, save_every_steps=2), on_progress=die)
    state = RunFolder(tmp_path / "halves").load()

    assert state is not None
    assert train(tmp_path / "halves", values, saved=state) == whole
    lines = (tmp_path / "halves" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_a_state_is_saved_by_steps_by_minutes_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(RunFolder, "save", lambda self, state: saved.append(state["step"]))
    ones = [[1.0]] * 5

    train(tmp_path / "steps", ones, replace(OPTIONS, save_every_steps=2))
    train(tmp_path / "minutes", ones, replace(OPTIONS, save_every_minutes=0))

    assert saved == [2, 4, 5, 1, 2, 3, 4, 5]


def test_a_save_that_is_cut_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({})
    folder.save({"step": 1})

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.save({"step": 2})

    assert folder.load() == {"step": 1}


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({})
    folder.save({"step": 1})
    file = tmp_path / "run" / "state.pt"
    file.write_bytes(file.read_bytes()[:100])

    with pytest.raises(CheckpointInvalid, match=r"state\.pt is damaged"):
        folder.load()


def test_too_little_memory_says_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(self: Slope, batch: Numbers) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr(Slope, "forward", too_much)

    with pytest.raises(TrainingFailed, match="a batch of 2 does not fit") as failed:
        train(tmp_path, [[1.0, 2.0]])
    for option in ("--batch", "--accumulate", "--checkpoint-activations"):
        assert option in failed.value.hint


def test_randomness_of_a_step_depends_on_nothing_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    def draw(self: Slope, batch: Numbers) -> dict[str, Tensor]:
        drawn.append(torch.rand(()).item())
        return {"loss": self.network.weight.sum()}

    monkeypatch.setattr(Slope, "forward", draw)
    train(tmp_path / "one", [[1.0]] * 3)
    torch.manual_seed(5)
    train(tmp_path / "again", [[1.0]] * 3)
    train(tmp_path / "other", [[1.0]] * 3, replace(OPTIONS, seed=1))

    assert drawn[:3] == drawn[3:6]
    assert len({*drawn[:3], *drawn[6:]}) == 6
