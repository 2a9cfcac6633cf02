"""VQA's own files: questions about COCO's pictures, and ten people's answers to each (Goyal et al., 2017)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixsearch.errors import DatasetError
from pixsearch.storage import FilePath
from pixsearch_trainer.data.problems import Problem, shown

FEWEST_QUESTIONS = 9
"""An answer can be given if it is that of so many training questions: 3,129 of VQA v2 (Teney et al., 2018)."""

_SPLITS = {"train2014": "train", "val2014": "val"}
_ARTICLES = {"a", "an", "the"}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_OF = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


@dataclass(frozen=True)
class Question:
    """A question about a picture."""

    picture: FilePath
    text: str
    answers: tuple[str, ...]
    """One a person, as `normalised` has them."""
    split: str

    def worth(self, answer: str) -> float:
        """What VQA's measure gives for an answer, 0..1: min(people who gave it / 3, 1), over all but one person each.

        With ten people: 0.3 for an answer that one of them gave, 0.6 for two, 0.9 for three, 1 for more.
        """
        gave, people = self.answers.count(answer), len(self.answers)
        with_one_of_them_left_out = gave * min((gave - 1) / 3, 1) + (people - gave) * min(gave / 3, 1)
        return with_one_of_them_left_out / people


def read_vqa(data: Path, images: Path | None = None) -> tuple[list[Question], list[Problem]]:
    """The questions of the splits train and val that have answers, and what cannot be used.

    Args:
        data: the folder of the questions' and annotations' JSON files, which are told apart by what is in them.
        images: where the pictures are, or their folders train2014 and val2014; None is the same folder.

    Raises:
        DatasetError: the folder cannot be read, or lacks one of both kinds of files, or all of its pictures.
    """
    images = data if images is None else images
    asked: list[tuple[Path, str, Any]] = []
    answers: dict[int, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for file in _json_files(data):
        document = _parse(file)
        if isinstance(document.get("questions"), list):
            asked += [(file, str(document.get("data_subtype")), question) for question in document["questions"]]
        annotations = document.get("annotations")
        if not isinstance(annotations, list) or "images" in document:  # COCO's captions, which often lie beside
            continue
        for number, entry in enumerate(annotations, 1):
            try:
                answers[entry["question_id"]] = tuple(normalised(answer["answer"]) for answer in entry["answers"])
            except (KeyError, TypeError, AttributeError) as error:
                problems.append(Problem(file, None, f"annotation {number}: is not as VQA has it ({error!r})"))
    if not asked or not answers:
        raise DatasetError(
            f"{data} has {len(asked):,} questions and {len(answers):,} answers in VQA's format",
            "Put both files of a split there, such as v2_OpenEnded_mscoco_train2014_questions.json",
        )
    questions = []
    for file, kind, entry in asked:
        if (split := _SPLITS.get(kind)) is None:
            continue
        try:
            text, number, given = entry["question"].strip(), int(entry["image_id"]), answers.get(entry["question_id"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problems.append(Problem(file, None, f"a question is not as VQA has it ({error!r})"))
            continue
        picture = _picture(images, kind, number)
        if picture is None:
            problems.append(Problem(file, None, f"picture {number} of {shown(text)!r} is not there"))
        elif not text or not given:
            problems.append(Problem(file, None, f"question {entry['question_id']} has no text or no answers"))
        else:
            questions.append(Question(picture, text, given, split))
    if not questions:
        raise DatasetError(f"no question of {data} can be used: {problems[0]}" if problems else f"{data} has no split")
    return questions, problems


def common_answers(questions: Iterable[Question]) -> tuple[str, ...]:
    """What `FEWEST_QUESTIONS` or more questions are answered by most people, the most frequent first.

    Raises DatasetError where there is no such answer.
    """
    counts = Counter(Counter(question.answers).most_common(1)[0][0] for question in questions)
    common = [answer for answer, count in counts.most_common() if count >= FEWEST_QUESTIONS]
    if not common:
        raise DatasetError(
            f"no answer is that of {FEWEST_QUESTIONS} questions of the split train", "Give more questions"
        )
    return tuple(common)


def normalised(answer: str) -> str:
    """An answer as VQA's evaluation compares it: lower case, digits for number words, neither articles nor punctuation.

    Not done is its list of contractions that have lost their apostrophe ("dont" to "don't").
    """
    given = text = answer.replace("\n", " ").replace("\t", " ").strip()
    thousands = re.search(r"\d,\d", given) is not None
    for sign in _PUNCTUATION:
        beside_a_space = f"{sign} " in given or f" {sign}" in given
        text = text.replace(sign, "" if beside_a_space or thousands else " ")
    text = re.sub(r"\.(?!\d)", "", text)
    words = (_NUMBER_OF.get(word, word) for word in text.lower().split())
    return " ".join(word for word in words if word not in _ARTICLES)


def accuracy(questions: Sequence[Question], answers: Sequence[str]) -> float:
    """VQA's measure, in percent."""
    worth = [question.worth(answer) for question, answer in zip(questions, answers, strict=True)]
    return 100 * sum(worth) / len(worth)


def _json_files(data: Path) -> list[Path]:
    files = sorted(data.glob("*.json")) if data.is_dir() else []
    if not files:
        raise DatasetError(f"{data} is no folder with VQA's JSON files", "Name it with --data")
    return files


def _parse(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise DatasetError(f"{file} cannot be read ({error.strerror})", "Name its folder with --data") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is no JSON ({error})", "Download it again") from error
    return document if isinstance(document, dict) else {}


def _picture(images: Path, kind: str, number: int) -> Path | None:
    name = f"COCO_{kind}_{number:012d}.jpg"
    return next((file for folder in ("", kind) if (file := images / folder / name).is_file()), None)
