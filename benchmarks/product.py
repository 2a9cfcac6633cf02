"""Does a search find what `pixsearch evaluate` says it does? Index a data set's pictures, ask every caption.

    python benchmarks/product.py --data flickr8k/dataset.json --images flickr8k/images

Prints R@1 / R@5 / R@10 of the first stage, text to image, through the library and the search engine, whose embeddings
and grids are those that were stored, beside the figures of the trainer's evaluation, which stores nothing.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.model.checkpoints import find_checkpoint, load_checkpoint
from pixsearch.progress import silent
from pixsearch_indexer import index_folder
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split
from pixsearch_trainer.data.reading import read_captioned
from pixsearch_trainer.evaluation.measure import evaluate
from pixsearch_trainer.features import encode_grids

DEPTH = 10


def recalls_of_the_product(pictures: list[CaptionedPicture], captions: Captions, folder: Path) -> list[float]:
    """R@1, R@5 and R@10 in percent; a caption of several pictures is answered by any of them."""
    photos = folder / "photos"
    photos.mkdir()
    for picture in pictures:
        shutil.copy(picture.file, photos)
    right: dict[str, set[str]] = {}
    for picture, places in zip(pictures, captions.of_picture, strict=True):
        for place in places:
            right.setdefault(captions.sentences[place], set()).add(picture.file.name)
    with Library.create(folder / "library") as library:
        index_folder(library, photos)
        engine = SearchEngine(library)
        ranks = []
        for sentence, names in right.items():
            hits = engine.search(Query((Words(sentence),), rerank=False, duplicates="show"), DEPTH)
            ranks.append(next((hit.rank for hit in hits if hit.path.name in names), DEPTH + 1))
    return [100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    pictures = of_split(read_captioned(arguments.data, arguments.images).pictures, "val")
    captions = Captions.of(pictures)
    with tempfile.TemporaryDirectory() as folder:
        product = recalls_of_the_product(pictures, captions, Path(folder))
        model, processor = load_checkpoint(find_checkpoint(None))
        model.eval()
        with torch.no_grad():
            grids = encode_grids(model, processor, pictures, Path(folder) / "cache", silent)
            first = evaluate(model, processor, pictures, grids, candidates=()).text_to_image.first_stage
    print(f"{len(captions.sentences):,} captions, {len(pictures):,} pictures, R@1 / R@5 / R@10")
    print("product  {:.2f} / {:.2f} / {:.2f}".format(*product))
    print(f"evaluate {first.r1:.2f} / {first.r5:.2f} / {first.r10:.2f}")


if __name__ == "__main__":
    main()
