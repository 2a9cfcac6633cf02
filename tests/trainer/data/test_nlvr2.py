"""NLVR2 files and metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.nlvr2 import Statement, accuracy, consistency, read_nlvr2
from tests.other_tasks import write_nlvr2


def test_a_statement_has_its_two_pictures_in_their_order(tmp_path: Path) -> None:
    write_nlvr2(tmp_path, {"train": 2, "dev": 1, "test1": 1})

    statements, problems = read_nlvr2(tmp_path)

    assert problems == []
    assert [statement.split for statement in statements] == ["val", "train", "train"]
    second = statements[2]
    assert (second.left.name, second.right.name) == ("train-1-0-img0.png", "train-1-0-img1.png")
    assert (second.text, second.truth, statements[1].truth) == ("Both are red.", False, True)


def test_what_cannot_be_used_is_a_problem_with_its_line(tmp_path: Path) -> None:
    write_nlvr2(tmp_path, {"train": 7})
    (tmp_path / "train" / "7" / "train-1-0-img1.png").unlink()
    file = tmp_path / "train.json"
    lines = file.read_text().splitlines()
    lines[2] = lines[2][:30]
    lines[3] = json.dumps(json.loads(lines[3]) | {"label": "Perhaps"})
    lines[4] = json.dumps(json.loads(lines[4]) | {"identifier": f"train-{'1' * 300}-0-0"})
    lines[5] = "[" * 100_000
    file.write_text("\n".join(lines))

    statements, problems = read_nlvr2(tmp_path)

    assert len(statements) == 2
    assert [(problem.file, problem.line) for problem in problems] == [(file, line) for line in range(2, 7)]
    assert problems[0].what == "train-1-0-img1.png does not exist"


def test_a_single_file_may_have_a_byte_order_mark_and_any_line_separator_in_a_sentence(tmp_path: Path) -> None:
    write_nlvr2(tmp_path, {"train": 2})
    file = tmp_path / "train.json"
    first, second = file.read_text().splitlines()
    odd = json.dumps(json.loads(first) | {"sentence": "Both\u2028are red."}, ensure_ascii=False)
    file.write_text(f"{odd}\n{second}\n", encoding="utf-8-sig")

    statements, problems = read_nlvr2(file)

    assert problems == []
    assert [statement.text for statement in statements] == ["Both\u2028are red.", "Both are red."]


def test_a_folder_without_statements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no usable NLVR2 statements"):
        read_nlvr2(tmp_path)


def test_accuracy_counts_statements_and_consistency_sentences_that_are_right_throughout() -> None:
    def statement(group: str, truth: bool) -> Statement:
        return Statement(Path("a.png"), Path("b.png"), "", truth, "val", group)

    statements = [statement("1", True), statement("1", False), statement("2", True), statement("2", True)]

    assert accuracy(statements, [True, False, True, False]) == 75
    assert consistency(statements, [True, False, True, False]) == 50
