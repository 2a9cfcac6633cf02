"""Pictures and the sentences that describe them."""

from __future__ import annotations

from pathlib import Path

from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split


def test_a_caption_that_two_pictures_share_is_one_sentence_of_both() -> None:
    pictures = [CaptionedPicture(Path("a"), ("x", "y")), CaptionedPicture(Path("b"), ("y", "z"))]

    captions = Captions.of(pictures)

    assert captions.sentences == ["x", "y", "z"]
    assert captions.of_picture == [[0, 1], [1, 2]]
    assert captions.matches().tolist() == [[True, False], [True, True], [False, True]]


def test_a_split_keeps_its_pictures_in_their_order() -> None:
    first, other, last = (CaptionedPicture(Path(name), ("x",), split) for name, split in zip("abc", "tvt", strict=True))

    assert of_split([first, other, last], "t") == [first, last]
