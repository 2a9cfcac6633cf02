"""VQA files and the VQA metric."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.vqa import Question, accuracy, common_answers, normalised, read_vqa
from tests.other_tasks import write_vqa

NORMALISED = {"The Red  Dog": "red dog", "two": "2", "None": "0", "on the table.": "on table", "3.5": "3.5", "a": ""}
NORMALISED |= {"1,000": "1000", "black/white": "black white", "yes, it is!": "yes it is"}


@pytest.mark.parametrize(("given", "compared"), NORMALISED.items())
def test_answers_are_compared_as_the_evaluation_does(given: str, compared: str) -> None:
    assert normalised(given) == compared


@pytest.mark.parametrize(("people", "worth"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_an_answer_is_worth_what_ten_people_make_it_worth(people: int, worth: float) -> None:
    """Leave each of ten people out in turn and count thirds: for one, 9 x 1/3 / 10; for three, (3 x 2/3 + 7) / 10."""
    question = Question(Path("a.jpg"), "what?", ("red",) * people + ("blue",) * (10 - people), "val")

    assert question.worth("red") == pytest.approx(worth)


def test_accuracy_is_the_mean_worth_of_the_answers() -> None:
    first = Question(Path("a.jpg"), "what?", ("red",) * 2 + ("blue",) * 8, "val")
    second = Question(Path("b.jpg"), "what?", ("red",) * 10, "val")

    assert accuracy([first, second], ["red", "red"]) == pytest.approx(80)
    assert accuracy([first, second], ["red", "blue"]) == pytest.approx(30)


def test_the_answers_of_nine_questions_or_more_can_be_given_the_most_frequent_first() -> None:
    def questions_with(answer: str, count: int) -> list[Question]:
        return [Question(Path("a.jpg"), "what?", (answer,) * 6 + ("other",) * 4, "train")] * count

    assert common_answers([*questions_with("red", 9), *questions_with("blue", 12), *questions_with("green", 8)]) == (
        "blue",
        "red",
    )
    with pytest.raises(DatasetError, match="no answer occurs in 9 or more training questions"):
        common_answers(questions_with("red", 8))


def test_questions_are_joined_with_their_answers_and_pictures_by_split(tmp_path: Path) -> None:
    write_vqa(tmp_path, {"train2014": 2, "val2014": 1, "test2015": 1})

    questions, problems = read_vqa(tmp_path)

    assert problems == []
    assert [(question.picture.name, question.split) for question in questions] == [
        ("COCO_train2014_000000000000.jpg", "train"),
        ("COCO_train2014_000000000001.jpg", "train"),
        ("COCO_val2014_000000000000.jpg", "val"),
    ]
    assert questions[1].text == "What colour is it?"
    assert questions[1].answers == ("blue",) * 8 + ("square",) * 2


def test_pictures_may_lie_in_one_folder(tmp_path: Path) -> None:
    write_vqa(tmp_path, {"train2014": 1})

    [question], _ = read_vqa(tmp_path, tmp_path / "train2014")

    assert question.picture == tmp_path / "train2014" / "COCO_train2014_000000000000.jpg"


def test_what_cannot_be_used_is_a_problem_and_other_json_is_skipped(tmp_path: Path) -> None:
    write_vqa(tmp_path, {"train2014": 4})
    (tmp_path / "train2014" / "COCO_train2014_000000000001.jpg").unlink()
    annotations = tmp_path / "train2014_annotations.json"
    document = json.loads(annotations.read_text())
    del document["annotations"][2]["answers"]
    annotations.write_text(json.dumps(document))
    captions = {"images": [{"id": 0}], "annotations": [{"image_id": 0, "caption": "a square"}]}
    (tmp_path / "captions_train2014.json").write_text(json.dumps(captions))
    (tmp_path / "null.json").write_text('{"data_subtype": "train2014", "annotations": null, "questions": null}')
    (tmp_path / "odd split.json").write_text('{"data_subtype": ["val2014"], "questions": [null]}')

    questions, problems = read_vqa(tmp_path)

    assert [question.picture.name[-5] for question in questions] == ["0", "3"]
    assert [str(problem).removeprefix(f"{tmp_path}/train2014_") for problem in problems] == [
        'annotations.json: annotation 3: has no valid "answers"',
        "questions.json: question 2: COCO_train2014_000000000001.jpg does not exist",
        "questions.json: question 3: has no text or no answers",
    ]


def test_a_folder_without_both_files_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    write_vqa(tmp_path, {"train2014": 1})
    (tmp_path / "train2014_annotations.json").unlink()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="has no VQA questions with answers"):
            read_vqa(folder)
    for damaged in ('{"annotations": [', "[" * 100_000):
        (tmp_path / "cut.json").write_text(damaged)
        with pytest.raises(DatasetError, match=r"cut\.json is not valid JSON"):
            read_vqa(tmp_path)
