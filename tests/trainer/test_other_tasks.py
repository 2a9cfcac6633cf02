"""VQA and NLVR2, trained end to end."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pixsearch.errors import Interrupted
from pixsearch.model.checkpoints import load_network, save_checkpoint
from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.vqa import PixelBertForVQA
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.vqa import Question
from pixsearch_trainer.end_to_end.nlvr2 import train_nlvr2
from pixsearch_trainer.end_to_end.run import EndToEndOptions, EndToEndReport
from pixsearch_trainer.end_to_end.vqa import train_vqa
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights.other_task import for_task

OPTIONS = EndToEndOptions(
    epochs=10,
    batch=16,
    workers=0,
    precision="no",
    optimizer=OptimizerOptions(learning_rate=3e-3, weight_decay=0),
    measure_every_epochs=10,
)
ANSWERS = ("yes", "no", "perhaps")


@pytest.fixture(scope="module")
def questions(mosaics: list[CaptionedPicture]) -> list[Question]:
    """Two of each of 8 pictures, with answers of no system; to be known by heart, train and val are the same."""
    made = []
    for number, picture in enumerate(mosaics[:8]):
        for letter, answer in (("x", ANSWERS[number % 3]), ("y", ANSWERS[number // 3 % 3])):
            made.append(Question(picture.file, f"is it {letter}", (answer,) * 10, "train"))
    return made + [replace(question, split="val") for question in made]


@pytest.fixture(scope="module")
def statements(mosaics: list[CaptionedPicture]) -> list[Statement]:
    """Whether the right picture is the left one again; train and val are the same."""
    made = []
    for number, picture in enumerate(mosaics[:16]):
        other = mosaics[number if number % 2 else (number + 5) % 16]
        made.append(Statement(picture.file, other.file, "both are one", bool(number % 2), "train", str(number)))
    return made + [replace(statement, split="val") for statement in made]


def vqa(
    start: Path,
    questions: list[Question],
    out: Path,
    options: EndToEndOptions = OPTIONS,
    resume: bool = False,
    on_progress: ProgressCallback = silent,
) -> EndToEndReport:
    torch.manual_seed(0)
    network, processor = for_task("vqa", *load_network(start), ANSWERS)
    assert isinstance(network, PixelBertForVQA)
    if not resume:
        RunFolder(out).begin({})
    return train_vqa(network, processor, questions, out, options, "all", resume, lambda line: None, on_progress)


@pytest.mark.slow
def test_a_tiny_model_knows_16_answers_by_heart(tiny_start: Path, questions: list[Question], tmp_path: Path) -> None:
    report = vqa(tiny_start, questions, tmp_path / "out", replace(OPTIONS, epochs=600, measure_every_epochs=100))

    assert report.best is not None
    assert report.best.figures == {"accuracy": 100}
    assert load_network(tmp_path / "out")[0].config.answers == ANSWERS


@pytest.mark.slow
def test_a_tiny_model_knows_16_pairs_of_pictures_by_heart(
    tiny_start: Path, statements: list[Statement], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network, processor = for_task("nlvr2", *load_network(tiny_start))
    assert isinstance(network, PixelBertForNLVR2)
    RunFolder(tmp_path).begin({})
    options = replace(OPTIONS, epochs=150)
    report = train_nlvr2(network, processor, statements, tmp_path, options, "all", False, lambda line: None)

    assert report.best is not None
    assert report.best.figures == {"accuracy": 100, "consistency": 100}


def test_a_run_that_was_stopped_ends_with_the_very_weights_of_one_that_was_not(
    tiny_start: Path, questions: list[Question], tmp_path: Path
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.task == "vqa" and progress.done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    few = replace(OPTIONS, epochs=3)
    vqa(tiny_start, questions, tmp_path / "whole", few)
    with pytest.raises(Interrupted):
        vqa(tiny_start, questions, tmp_path / "halves", few, on_progress=interrupt)
    vqa(tiny_start, questions, tmp_path / "halves", few, resume=True)

    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "halves")]
    assert weights[0] == weights[1]


def test_a_question_of_which_no_answer_is_known_is_left_out(
    tiny_start: Path, questions: list[Question], tmp_path: Path
) -> None:
    strange = replace(questions[0], answers=("sometimes",) * 10)

    report = vqa(tiny_start, [strange, *questions], tmp_path / "out", replace(OPTIONS, epochs=1))

    assert report.pictures == 16


def test_the_loss_of_a_question_is_that_of_all_answers_by_what_they_are_worth(
    tiny_start: Path, questions: list[Question], tmp_path: Path
) -> None:
    """With a head of zeros all logits are 0, and each of three answers costs ln 2 whatever it is worth."""
    network, processor = for_task("vqa", *load_network(tiny_start), ANSWERS)
    assert isinstance(network, PixelBertForVQA)
    for parameter in network.answer_head[3].parameters():
        torch.nn.init.zeros_(parameter)
    save_checkpoint(tmp_path / "start", network, processor)

    vqa(tmp_path / "start", questions, tmp_path / "out", replace(OPTIONS, epochs=0.5))

    first = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(3 * 0.693147, rel=1e-4)
