"""The text and the near miss drawn for a picture in a step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from pixsearch_trainer.batches.draws import CaptionedSet
from pixsearch_trainer.data.pairs import CaptionedPicture


def test_queries_are_drawn_in_three_of_ten_draws_and_labels_in_one_of_twenty_where_there_are_any() -> None:
    full = CaptionedPicture(Path("a"), ("c1", "c2"), queries=("q1", "q2"), labels=("l",))
    bare = CaptionedPicture(Path("b"), ("c1", "c3"))
    data = CaptionedSet([full, bare], seed=0)

    drawn = data.pairs_at(lambda step: torch.arange(2).repeat(5000), mirror=False)(0)

    counts = [Counter(data.texts_at(drawn.captions[drawn.pictures == picture])) for picture in (0, 1)]
    shares = {"c1": 0.325, "c2": 0.325, "q1": 0.15, "q2": 0.15, "l": 0.05}
    for text, share in shares.items():
        assert abs(counts[0][text] / 5000 - share) < 4 * (share * (1 - share) / 5000) ** 0.5, text
    assert counts[0].keys() == shares.keys()
    assert counts[1].keys() == {"c1", "c3"}


def test_all_texts_have_an_index_captions_first_and_each_picture_knows_which_are_true_of_it() -> None:
    pictures = [
        CaptionedPicture(Path("a"), ("a dog runs",), queries=("dog",), near_misses=("a cat runs", "dog on a bike")),
        CaptionedPicture(Path("b"), ("a cat", "dog"), labels=("a cat", "pet")),
    ]

    data = CaptionedSet(pictures, seed=0)

    assert data.texts == ["a dog runs", "a cat", "dog", "pet", "a cat runs", "dog on a bike"]
    assert data.texts[: len(data.captions.sentences)] == data.captions.sentences
    assert [set(data.texts_at(row[row >= 0])) for row in data.true_texts] == [
        {"a dog runs", "dog"},
        {"a cat", "dog", "pet"},
    ]
    assert data.has_near_misses
    assert not CaptionedSet(pictures[1:], seed=0).has_near_misses


def test_the_near_miss_beside_a_text_is_the_one_of_nearest_length() -> None:
    near_misses = ("three cats on a beach", "cat", "two cats")
    texts = ("a dog runs along a beach", "dog", "one small dog")
    data = CaptionedSet([CaptionedPicture(Path("a"), texts, near_misses=near_misses)], seed=0)

    drawn = data.pairs_at(lambda step: torch.zeros(200, dtype=torch.int64), mirror=False)(0)
    without = CaptionedSet([CaptionedPicture(Path("a"), texts)], seed=0)

    beside = dict(zip(data.texts_at(drawn.captions), data.texts_at(drawn.near_misses), strict=True))
    assert beside == dict(zip(texts, near_misses, strict=True))
    assert (
        without.pairs_at(lambda step: torch.zeros(3, dtype=torch.int64), mirror=False)(0).near_misses.tolist()
        == [-1] * 3
    )


def test_no_picture_is_mirrored_whose_near_miss_says_left_or_right() -> None:
    """The near miss "A dog left of a tree" may be true of the mirrored picture."""
    sided = CaptionedPicture(Path("a"), ("a dog and a tree",), near_misses=("a dog left of a tree",))
    plain = CaptionedPicture(Path("b"), ("a dog and a tree",))
    data = CaptionedSet([sided, plain], seed=0)

    drawn = data.pairs_at(lambda step: torch.arange(2).repeat(100), mirror=True)(0)

    assert not drawn.mirrored[drawn.pictures == 0].any()
    assert drawn.mirrored[drawn.pictures == 1].any()
