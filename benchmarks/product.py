"""Check that the search engine reaches the recall that `pixsearch evaluate` reports.

    python benchmarks/product.py --data flickr8k/dataset.json --images flickr8k/images

Indexes a data set, searches for each caption, and prints text-to-image R@1 / R@5 / R@10 for the first stage. The search
uses the embeddings stored in a library. The trainer's evaluation, which is printed for comparison, stores nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch_indexer import index_folder
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split
from pixsearch_trainer.data.reading import read_captioned
from pixsearch_trainer.evaluation.encoding import encode
from pixsearch_trainer.evaluation.measure import EvaluationOptions, evaluate
from pixsearch_trainer.evaluation.recall import Recall

DEPTH = 10


def recall_of_the_product(pictures: list[CaptionedPicture], captions: Captions, folder: Path) -> Recall:
    """Return the recall of the search engine. Any picture with the caption is correct. Ranks beyond 10 count as 11."""
    photos = folder / "photos"
    photos.mkdir()
    for picture in pictures:
        shutil.copy(str(picture.file), photos)
    with Library.create(folder / "library") as library:
        index_folder(library, photos)
        engine = SearchEngine(library)
        ranks = []
        for sentence, matches in zip(captions.sentences, captions.matches(), strict=True):
            right = {pictures[index].file.name for index in np.flatnonzero(matches).tolist()}
            hits = engine.search(Query((Words(sentence),), rerank=False, duplicates="show", evidence="shows"), DEPTH)
            ranks.append(next((hit.rank for hit in hits if hit.path.name in right), DEPTH + 1))
    return Recall.of(np.array(ranks))


def main(
    data: Annotated[Path, typer.Option(help="See pixsearch train.")],
    images: Annotated[Path | None, typer.Option(help="See pixsearch train.")] = None,
) -> None:
    pictures = of_split(read_captioned(data, images).pictures, "val")
    captions = Captions.of(pictures)
    with tempfile.TemporaryDirectory() as folder:
        product = recall_of_the_product(pictures, captions, Path(folder))
        runtime = PixelBertRuntime(find_checkpoint(None))
        first = evaluate(runtime, encode(runtime, pictures), EvaluationOptions(candidates=())).text_to_image.first_stage
    print(f"{len(captions.sentences):,} captions, {len(pictures):,} pictures, R@1 / R@5 / R@10")
    for name, recall in (("product", product), ("evaluate", first)):
        print(f"{name:8} {recall.r1:.2f} / {recall.r5:.2f} / {recall.r10:.2f}")


if __name__ == "__main__":
    typer.run(main)
