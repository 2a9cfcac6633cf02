"""Read VQA: questions about COCO pictures, with answers from ten people each (Goyal et al., 2017)."""

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
"""The minimum number of training questions for an answer to be used. With 9, VQA v2 has 3,129 answers (Teney et al.,
2018)."""

_SPLITS = {"train2014": "train", "val2014": "val"}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER_OF = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


@dataclass(frozen=True)
class Question:
    """A question about a picture."""

    picture: FilePath
    text: str
    answers: tuple[str, ...]  # one per person, as returned by `normalised`
    split: str

    def worth(self, answer: str) -> float:
        """Return the VQA accuracy of an answer, 0..1: the mean, leaving out one person at a time, of min(count / 3, 1).

        The count is the number of other people who gave the answer. With ten people, the accuracy is 0.3 for an answer
        given by one person, 0.6 for two, 0.9 for three, and 1 for more.
        """
        gave, people = self.answers.count(answer), len(self.answers)
        sum_over_left_out = gave * min((gave - 1) / 3, 1) + (people - gave) * min(gave / 3, 1)
        return sum_over_left_out / people


def read_vqa(data: Path, images: Path | None = None) -> tuple[list[Question], list[Problem]]:
    """Return the questions with answers in the train and val splits, and the problems found.

    `data` is the folder with the JSON files of questions and annotations, which may have any names. The pictures are in
    `images` (by default, `data`), or in its subfolders train2014 and val2014. Raises OSError, or DatasetError if a file
    is damaged or there are no usable questions.
    """
    documents: dict[Path, Any] = {}
    questions: list[Question] = []
    answers: dict[int, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for file in sorted(data.glob("*.json")):
        try:
            document = parse_json(read_regular(file, DATA_LIMIT_BYTES))
        except Malformed as error:
            raise DatasetError(f"{file} {error}", "Download the file again") from error
        if isinstance(document, dict) and str(document.get("data_subtype")) in _SPLITS:
            documents[file] = document
            answers.update(parse_each(document.get("annotations") or (), _answers, file, problems, "annotation"))
    for file, document in documents.items():
        parse = partial(_question, kind=document["data_subtype"], answers=answers, images=images or data)
        questions += parse_each(document.get("questions") or (), parse, file, problems, "question")
    if not questions:
        message = f"{data} has no VQA questions with answers{f': {problems[0]}' if problems else ''}"
        raise DatasetError(message, "Use --data with a folder that contains questions and annotations")
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
    """Return each answer that is the most common one for `FEWEST_QUESTIONS` questions or more, most frequent first."""
    counts = Counter(Counter(question.answers).most_common(1)[0][0] for question in questions)
    common = [answer for answer, count in counts.most_common() if count >= FEWEST_QUESTIONS]
    if not common:
        raise DatasetError(f"no answer occurs in {FEWEST_QUESTIONS} or more training questions", "Add more questions")
    return tuple(common)


def normalised(answer: str) -> str:
    """Normalise an answer as in VQA's evaluation: lower case, digits for numbers, no articles, no punctuation.

    Unlike VQA's evaluation, this does not restore apostrophes in contractions ("dont" to "don't").
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
    """Return the VQA accuracy of one answer per question, in percent."""
    worth = sum(question.worth(answer) for question, answer in zip(questions, answers, strict=True))
    return 100 * worth / len(questions)
