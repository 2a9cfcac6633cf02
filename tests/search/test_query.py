from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch import Library, Picture, Query, SearchEngine, Words
from pixsearch.errors import UsageError
from tests.colour_runtime import ColourRuntime


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_query_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        Words(text)


def test_words_that_are_not_valid_text_are_refused() -> None:
    with pytest.raises(UsageError, match="not valid Unicode"):
        Words("caf\udce9")


def test_a_query_without_parts_or_filters_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        Query(())


@pytest.mark.parametrize("weight", [0.0, float("nan"), float("inf"), 1e39, -1e39, 1e-46])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(UsageError, match="weigh"):
        Words("a cat", weight)
    with pytest.raises(UsageError, match="weigh"):
        Picture(Path("cat.jpg"), weight)


@pytest.mark.parametrize("candidates", [0, -1])
def test_fewer_than_one_candidate_is_refused(candidates: int) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        Query((Words("a cat"),), candidates=candidates)


def test_a_picture_cannot_be_re_ranked(library: Library) -> None:
    with pytest.raises(UsageError, match="re-ranked"):
        SearchEngine(library, ColourRuntime()).search(Query((Picture(Path("cat.jpg")),), rerank=True))
