"""How a problem in a data set is told."""

from __future__ import annotations

from pathlib import Path

from pixsearch_trainer.data.problems import Problem, shown


def test_a_problem_names_its_file_and_line() -> None:
    assert str(Problem(Path("captions.tsv"), 17, "a.jpg is not there")) == "captions.tsv:17: a.jpg is not there"
    assert str(Problem(Path("coco.json"), None, "entry 17: is empty")) == "coco.json: entry 17: is empty"


def test_a_problem_is_one_printable_line_whatever_the_data_say() -> None:
    text = str(Problem(Path("odd\nname\udce9.csv"), 1, "a\r\nb\tc \x1b[31m"))

    assert text == "odd name\\udce9.csv:1: a b c \\x1b[31m"
    assert text.isprintable()


def test_a_long_text_is_shown_by_its_beginning() -> None:
    assert shown("x" * 80) == "x" * 80
    assert shown("x" * 81) == "x" * 78 + ".."
