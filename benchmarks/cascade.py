"""Recall against time, by how many candidates late interaction orders and how many of them the joint stream reads.

    python benchmarks/cascade.py --data flickr8k/dataset.json --images flickr8k/images --kept scores.npz

Captions are drawn at random and search all pictures of the split; the pictures, drawn as well, search all captions. All
scores are computed once, which takes a quarter of an hour on two cores, and the table is made of them: what is kept in
a file is not computed again. "Joint 32" is the order of 32 candidates by match without late interaction, as up to
version 0.9. The times are of the second stage alone, of one sentence and as many pictures: medians over rounds, in each
of which every row has its turn.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.progress import Progress, ProgressCallback
from pixsearch_cli.output import progress_bars
from pixsearch_trainer.data.pairs import Captions, of_split
from pixsearch_trainer.data.reading import read_captioned
from pixsearch_trainer.evaluation.encoding import EncodedPictures, encode
from pixsearch_trainer.evaluation.measure import Scored, Search, cascade_ranks, searches
from pixsearch_trainer.evaluation.recall import Recall, nearest_items

MOST = 128
ALL_READ = 32
LATE = (32, 64, 128)
JOINT = (0, 2, 4, 8, 12, 16)
TIMED = [(0, ALL_READ), *((late, joint) for late in LATE for joint in JOINT if joint)]
ROUNDS = 7
KEEP_EVERY = 100


def main(
    data: Annotated[Path, typer.Option(help="Captioned pictures, as pixsearch evaluate reads.")],
    images: Annotated[Path, typer.Option(help="The folder of the pictures.")],
    kept: Annotated[Path, typer.Option(help="Where scores are kept between runs.")],
    split: Annotated[str, typer.Option(help="Of the data.")] = "val",
    captions: Annotated[int, typer.Option(help="To draw.")] = 2000,
    pictures: Annotated[int, typer.Option(help="To draw, which search the captions.")] = 1000,
    model: Annotated[str | None, typer.Option(help="As of pixsearch query.")] = None,
    timed: Annotated[bool, typer.Option(help="Measure the times, too.")] = True,
) -> None:
    runtime = PixelBertRuntime(find_checkpoint(model))
    with progress_bars() as show:
        encoded = encode(runtime, of_split(read_captioned(data, images).pictures, split), show)
        late = late_table(runtime, encoded, show)
        every = [
            searches(runtime, encoded, count, seed=0)[direction] for direction, count in enumerate((captions, pictures))
        ]
        found = [
            scored(search, search.rows_of(late), kept.with_suffix(f".{name}.npz"), show)
            for search, name in zip(every, ("captions", "pictures"), strict=True)
        ]
    milliseconds = times(runtime, encoded) if timed else {}
    counts = [len(one.nearest) for one in found]
    print(f"| late, joint | {counts[0]:,} captions: R@1, 5, 10 | {counts[1]:,} pictures: R@1, 5, 10 | ms | share |")
    print("|---|---|---|---|---|")
    whole = milliseconds.get(TIMED[0])
    for orders, reads in [(0, 0), (0, ALL_READ), *((late, joint) for late in LATE for joint in JOINT)]:
        recalls = [figures(search, one, orders, reads) for search, one in zip(every, found, strict=True)]
        taken = milliseconds.get((orders, reads))
        end = "- | -" if taken is None or whole is None else f"{taken:.0f} | {taken / whole:.0%}"
        print(f"| {orders or '-'}, {reads or '-'} | {' | '.join(recalls)} | {end} |")


def late_table(runtime: PixelBertRuntime, encoded: EncodedPictures, show: ProgressCallback) -> np.ndarray:
    """Late scores [captions, pictures]."""
    texts = [encoded.texts[sentence] for sentence in Captions.of(encoded.pictures).sentences]
    rows = []
    for start in range(0, len(texts), 1000):
        some = texts[start : start + 1000]
        parts = [slice(first, first + 16) for first in range(0, len(encoded.grids), 16)]
        blocks = [runtime.late_scores(some, encoded.grids[part], encoded.embeddings[part]) for part in parts]
        rows.append(np.concatenate(blocks, axis=1))
        show(Progress("late scores", start + len(some), len(texts)))
    return np.concatenate(rows)


def scored(search: Search, late: np.ndarray, kept: Path, show: ProgressCallback) -> Scored:
    """The nearest items of each query, and the logits of all that some row of the table reads."""
    nearest = nearest_items(search.similarity, search.matches, MOST)
    scores = late[search.queries[:, None], nearest]
    logits = np.load(kept)["logits"] if kept.exists() else np.full(nearest.shape, np.nan, np.float32)
    for row, query in enumerate(search.queries.tolist()):
        chosen = set(range(ALL_READ)).union(*(np.argsort(-scores[row, :count])[: JOINT[-1]] for count in LATE))
        new = np.array([place for place in sorted(chosen) if np.isnan(logits[row, place])], np.int64)
        if new.size:
            logits[row, new] = search.match(query, nearest[row, new], scores[row, new])
        if row % KEEP_EVERY == 0 or row == len(logits) - 1:
            np.savez(kept, logits=logits)
        show(Progress(f"matching {kept.suffixes[-2][1:]}", row + 1, len(logits)))
    return Scored(nearest, scores, logits)


def figures(search: Search, found: Scored, orders: int, reads: int) -> str:
    """R@1, R@5 and R@10 where late interaction orders so many and the joint stream reads so many of them."""
    recall = Recall.of(cascade_ranks(search, found.first(orders or reads), reads))
    return f"{recall.r1:.1f}, {recall.r5:.1f}, {recall.r10:.1f}"


def times(runtime: PixelBertRuntime, encoded: EncodedPictures) -> dict[tuple[int, int], float]:
    """Milliseconds of the second stage by how many late interaction orders and the joint stream reads."""
    text, taken = encoded.pictures[0].captions[0], dict[tuple[int, int], list[float]]()
    for number in range(ROUNDS + 1):
        for orders, reads in TIMED:
            started = time.perf_counter()
            read, count = runtime.read_texts([text]), orders or reads
            late = runtime.late_scores(read, encoded.grids[:count], encoded.embeddings[:count])[0]
            chosen = np.argsort(-late)[:reads]
            runtime.match(read, [encoded.grids[one] for one in chosen], late[chosen])
            if number:  # the first warms up
                taken.setdefault((orders, reads), []).append(1000 * (time.perf_counter() - started))
    return {row: statistics.median(values) for row, values in taken.items()}


if __name__ == "__main__":
    typer.run(main)
