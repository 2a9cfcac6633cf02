"""Reports of problems in a data set."""

from __future__ import annotations

from pathlib import Path

from pixsearch_trainer.data.problems import Problem, shown


def test_a_problem_is_one_printable_line_that_names_its_file_and_line() -> None:
    assert str(Problem(Path("t.tsv"), 17, "a.jpg does not exist")) == "t.tsv:17: a.jpg does not exist"
    assert str(Problem(Path("odd\nname\udce9.json"), None, "a\x1b[31m")) == "odd\\nname\\udce9.json: a\\x1b[31m"


def test_text_from_the_data_is_shown_in_one_line_by_its_beginning() -> None:
    assert shown("a\r\nb\tc \x1b") == "a b c \\x1b"
    assert (shown("x" * 80), shown("x" * 81)) == ("x" * 80, "x" * 78 + "..")
