"""Read the files of VQA: questions about COCO's pictures, with ten people's answers to each (Goyal et al., 2017)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pixsearch.errors import DatasetError
from pixsearch.regular_files import DATA_LIMIT_BYTES, read_regular
from pixsearch.storage import FilePath, Listings
from pixsearch_trainer.data.formats import field, parse_json
from pixsearch_trainer.data.gathering import first_existing
from pixsearch_trainer.data.problems import Malformed, Problem, parse_each

FEWEST_QUESTIONS = 9
"""The fewest training questions for an answer that the network can give: with 9, VQA v2 has 3,129 such answers (Teney
et al., 2018)."""

_SPLITS = {"train2014": "train", "val2014": "val"}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_OF = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


@dataclass(frozen=True)
class Question:
    """A question about a picture."""

    picture: FilePath
    text: str
    answers: tuple[str, ...]  # one for each person, as `normalised` returns them
    split: str

    def worth(self, answer: str) -> float:
        """Return VQA's measure of an answer, 0..1: the mean of min(people who gave it / 3, 1), leaving out each person.

        With ten people: 0.3 for an answer that one of them gave, 0.6 for two, 0.9 for three, 1 for more.
        """
        gave, people = self.answers.count(answer), len(self.answers)
        sum_over_left_out = gave * min((gave - 1) / 3, 1) + (people - gave) * min(gave / 3, 1)
        return sum_over_left_out / people


def read_vqa(data: Path, images: Path | None = None) -> tuple[list[Question], list[Problem]]:
    """Return the questions of the splits train and val that have answers, and the problems found.

    `data` is the folder of the JSON files of questions and annotations, whatever their names. The pictures are in
    `images`, or else in `data`, or in the folders train2014 and val2014 there. Raises OSError; DatasetError if a file
    is damaged or no question can be used.
    """
    documents: dict[Path, Any] = {}
    questions: list[Question] = []
    answers: dict[int, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for file in sorted(data.glob("*.json")):
        try:
            document = parse_json(read_regular(file, DATA_LIMIT_BYTES))
        except Malformed as error:
            raise DatasetError(f"{file} {error}", "Download it again") from error
        if isinstance(document, dict) and str(document.get("data_subtype")) in _SPLITS:
            documents[file] = document
            answers.update(parse_each(document.get("annotations") or (), _answers, file, problems, "annotation"))
    for file, document in documents.items():
        parse = partial(_question, kind=document["data_subtype"], answers=answers, images=images or data)
        questions += parse_each(document.get("questions") or (), parse, file, problems, "question")
    if not questions:
        message = f"{data} has no VQA questions with answers{f': {problems[0]}' if problems else ''}"
        raise DatasetError(message, "Pass a folder with the questions and annotations of a split as --data")
    return questions, problems


def _answers(annotation: object) -> tuple[int, tuple[str, ...]]:
    given = [normalised(field(answer, "answer", str)) for answer in field(annotation, "answers", list)]
    return field(annotation, "question_id", int), tuple(given)


def _question(entry: object, kind: str, answers: Mapping[int, tuple[str, ...]], images: Path) -> Question:
    text, given = field(entry, "question", str).strip(), answers.get(field(entry, "question_id", int))
    name = f"COCO_{kind}_{field(entry, 'image_id', int):012d}.jpg"
    if not text or not given:
        raise Malformed("has no text or no answers")
    picture = first_existing((images / name, images / kind / name), name, Listings())
    return Question(picture, text, given, _SPLITS[kind])


def common_answers(questions: Iterable[Question]) -> tuple[str, ...]:
    """Return the answers that most people give to `FEWEST_QUESTIONS` or more questions, the most frequent first."""
    counts = Counter(Counter(question.answers).most_common(1)[0][0] for question in questions)
    common = [answer for answer, count in counts.most_common() if count >= FEWEST_QUESTIONS]
    if not common:
        raise DatasetError(f"no answer has {FEWEST_QUESTIONS} or more training questions", "Add more questions")
    return tuple(common)


def normalised(answer: str) -> str:
    """Normalise an answer like VQA's evaluation: in lower case, numbers as digits, without articles and punctuation.

    VQA's list of contractions without their apostrophe ("dont" to "don't") is not applied.
    """
    given = text = answer.replace("\n", " ").replace("\t", " ").strip()
    thousands = re.search(r"\d,\d", given) is not None
    for sign in _PUNCTUATION:
        next_to_space = f"{sign} " in given or f" {sign}" in given
        text = text.replace(sign, "" if next_to_space or thousands else " ")
    text = re.sub(r"\.(?!\d)", "", text)
    words = (_NUMBER_OF.get(word, word) for word in text.lower().split())
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def accuracy(questions: Sequence[Question], answers: Sequence[str]) -> float:
    """Return VQA's measure of one answer to each question, in percent."""
    worth = sum(question.worth(answer) for question, answer in zip(questions, answers, strict=True))
    return 100 * worth / len(questions)
