"""NLVR2's own files: sentences that are true or false of two pictures (Suhr et al., 2019)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixsearch.errors import DatasetError
from pixsearch.storage import FilePath
from pixsearch_trainer.data.problems import Problem, shown

_SPLITS = {"train": "train", "dev": "val"}


@dataclass(frozen=True)
class Statement:
    """A sentence and its two pictures."""

    left: FilePath
    right: FilePath
    text: str
    truth: bool
    split: str
    group: str
    """Statements of the same sentence have the same."""


def read_nlvr2(data: Path, images: Path | None = None) -> tuple[list[Statement], list[Problem]]:
    """The statements of train.json and dev.json (val), and what cannot be used; the test sets are passed over.

    Args:
        data: the folder of the JSON-lines files, or one of them.
        images: where the pictures are, or train/DIRECTORY/ and dev/ as NLVR2 has them; None is the same folder.

    Raises:
        DatasetError: the folder has no such files, or not one statement can be used.
    """
    files = [data] if data.is_file() else sorted(data.glob("*.json"))
    if images is None:
        images = data.parent if data.is_file() else data
    statements: list[Statement] = []
    problems: list[Problem] = []
    for file in files:
        try:
            content = file.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise DatasetError(f"{file} cannot be read ({error.strerror})", "Name its folder with --data") from error
        for number, line in enumerate(content.split("\n"), 1):  # not splitlines, which also splits at U+2028
            if not line.strip():
                continue
            found = _statement(line, images)
            if isinstance(found, Statement):
                statements.append(found)
            elif found is not None:
                problems.append(Problem(file, number, found))
    if not statements:
        first = f": {problems[0]}" if problems else ""
        raise DatasetError(
            f"{data} has no statement of NLVR2's that can be used{first}", "Name the folder of train.json with --data"
        )
    return statements, problems


def accuracy(statements: Sequence[Statement], said: Sequence[bool]) -> float:
    """Percent of the statements that were judged rightly."""
    right = [statement.truth == answer for statement, answer in zip(statements, said, strict=True)]
    return 100 * sum(right) / len(right)


def consistency(statements: Sequence[Statement], said: Sequence[bool]) -> float:
    """Percent of the sentences that were judged rightly of all their pictures."""
    right: defaultdict[str, bool] = defaultdict(lambda: True)
    for statement, answer in zip(statements, said, strict=True):
        right[statement.group] &= statement.truth == answer
    return 100 * sum(right.values()) / len(right)


def _statement(line: str, images: Path) -> Statement | str | None:
    """A line's statement, or what is wrong with it; None where it is of another split."""
    try:
        entry = json.loads(line)
        identifier, text, label = entry["identifier"], entry["sentence"].strip(), str(entry["label"])
        name, pictures, pair, _ = identifier.split("-")
        directory = str(entry.get("directory", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"is not as NLVR2 has it ({error!r})"
    if (split := _SPLITS.get(name)) is None:
        return None
    if label not in ("True", "False") or not text:
        return "has no sentence, or a label that is neither True nor False"
    sides = []
    for side in (0, 1):
        file = f"{name}-{pictures}-{pair}-img{side}.png"
        places = (images / folder / file for folder in ("", name, f"{name}/{directory}"))
        try:
            found = next((place for place in places if place.is_file()), None)
        except OSError as error:  # such as a name too long for the disk
            return f"{shown(file)} cannot be looked for ({error.strerror})"
        if found is None:
            return f"{file} is not there"
        sides.append(found)
    return Statement(sides[0], sides[1], text, label == "True", split, f"{name}-{pictures} {text}")
