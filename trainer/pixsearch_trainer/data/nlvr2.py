"""Read the files of NLVR2: sentences that are true or false of two pictures (Suhr et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pixsearch.errors import DatasetError
from pixsearch.regular_files import DATA_LIMIT_BYTES, read_regular
from pixsearch.storage import FilePath, Listings
from pixsearch_trainer.data.formats import field, parse_json
from pixsearch_trainer.data.gathering import first_existing
from pixsearch_trainer.data.problems import Malformed, Problem, parse_each

_SPLITS = {"train": "train", "dev": "val"}


@dataclass(frozen=True)
class Statement:
    """A sentence that is true or false of two pictures."""

    left: FilePath
    right: FilePath
    text: str
    truth: bool
    split: str
    group: str  # the same for all statements with this sentence


def read_nlvr2(data: Path, images: Path | None = None) -> tuple[list[Statement], list[Problem]]:
    """Read train.json and dev.json (the val split). Return the statements and the problems found; skip test sets.

    `data` is the folder with the JSON Lines files, or one of these files. The pictures are in `images` (by default, the
    folder of the files), or in its subfolders train/DIRECTORY/ and dev/. Raises OSError, or DatasetError if there are
    no usable statements.
    """
    statements: list[Statement] = []
    problems: list[Problem] = []
    for file in [data] if data.is_file() else sorted(data.glob("*.json")):
        text = read_regular(file, DATA_LIMIT_BYTES).decode("utf-8-sig", errors="replace")
        lines = text.replace("\r\n", "\n").split("\n")  # splitlines splits at U+2028 too
        statements += parse_each(lines, partial(_statement, images=images or file.parent), file, problems)
    if not statements:
        message = f"{data} has no usable NLVR2 statements{f': {problems[0]}' if problems else ''}"
        raise DatasetError(message, "Use --data with the folder that contains train.json")
    return statements, problems


def accuracy(statements: Sequence[Statement], answers: Sequence[bool]) -> float:
    """Return the percentage of statements judged correctly."""
    right = sum(statement.truth == answer for statement, answer in zip(statements, answers, strict=True))
    return 100 * right / len(statements)


def consistency(statements: Sequence[Statement], answers: Sequence[bool]) -> float:
    """Return the percentage of sentences judged correctly in all their statements."""
    groups = {statement.group for statement in statements}
    wrong = {one.group for one, answer in zip(statements, answers, strict=True) if one.truth != answer}
    return 100 * (len(groups) - len(wrong)) / len(groups)


def _statement(line: str, images: Path) -> Statement | None:
    """Parse a line; return None if it is blank or belongs to a different split."""
    if not line.strip():
        return None
    entry = parse_json(line)
    name, text = field(entry, "identifier", str), field(entry, "sentence", str).strip()
    if not text or name.count("-") != 3 or (label := str(entry.get("label"))) not in ("True", "False"):
        raise Malformed("has no sentence, no NLVR2 identifier, or a label that is neither True nor False")
    split, group, pair, _ = name.split("-")
    if split not in _SPLITS:
        return None
    folders = (images, images / split, images / split / str(entry.get("directory", "")))
    names = (f"{split}-{group}-{pair}-img0.png", f"{split}-{group}-{pair}-img1.png")
    left, right = (first_existing([folder / name for folder in folders], name, Listings()) for name in names)
    return Statement(left, right, text, label == "True", _SPLITS[split], f"{split}-{group} {text}")
