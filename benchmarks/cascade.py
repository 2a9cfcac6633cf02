"""Measure recall and time for different numbers of candidates in late interaction and in the joint stream.

    python benchmarks/cascade.py --data flickr8k/dataset.json --images flickr8k/images --kept scores

Random captions search all pictures in the split, and random pictures search all captions. Late scores are computed for
all pairs, but matches only for pairs that can affect the result. A candidate cannot affect it if its late score is so
far from that of the best correct answer that the joint stream cannot make up the difference (`--margin`, in logits). In
place of its match, the mean of what the joint stream adds for the query's other candidates is used.

Results are saved, even if the benchmark is interrupted, and the table covers all finished queries. In its second row,
the 32 most similar items are ordered by match, without using late interaction to choose them. Times are in milliseconds
and cover only the second stage, for one sentence and the given number of pictures. They are medians over several
rounds, in which all rows are measured in turn.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from safetensors import safe_open

from pixsearch.model.checkpoints import WEIGHTS_FILE, find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.search.runtime import Floats
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
TIMED = [(0, ALL_READ), *((late, joint) for late in LATE for joint in JOINT)]
ROUNDS = 7
KEEP_EVERY = 25


def main(
    data: Annotated[Path, typer.Option(help="Captioned pictures; see pixsearch evaluate.")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    kept: Annotated[Path, typer.Option(help="Path prefix of the files that store scores between runs.")],
    split: Annotated[str, typer.Option(help="Split to use.")] = "val",
    captions: Annotated[int, typer.Option(help="Number of captions to use as queries.")] = 2000,
    pictures: Annotated[int, typer.Option(help="Number of pictures to use as queries.")] = 500,
    margin: Annotated[
        float, typer.Option(help="Maximum difference that the joint stream can make between two pairs, in logits.")
    ] = 9,
    model: Annotated[str | None, typer.Option(help="See pixsearch query.")] = None,
    timed: Annotated[bool, typer.Option(help="Also measure the times.")] = True,
) -> None:
    checkpoint = find_checkpoint(model)
    runtime = PixelBertRuntime(checkpoint)
    with progress_bars() as show:
        encoded = encode(runtime, of_split(read_captioned(data, images).pictures, split), show)
        late = late_table(runtime, encoded, show)
        every = drawn(runtime, encoded, captions, pictures)
        for name, search in every.items():
            score(search, search.rows_of(late), weight_of_late(checkpoint), margin, kept_in(kept, name), show)
    print_table(every, late, weight_of_late(checkpoint), kept, times(runtime, encoded) if timed else {})


def drawn(runtime: PixelBertRuntime, encoded: EncodedPictures, captions: int, pictures: int) -> dict[str, Search]:
    """Return the searches in both directions, with random queries."""
    by_caption, _ = searches(runtime, encoded, captions, seed=0)
    _, by_picture = searches(runtime, encoded, pictures, seed=0)
    return {"captions": by_caption, "pictures": by_picture}


def kept_in(kept: Path, name: str) -> Path:
    return kept.with_name(f"{kept.name}-{name}.npy")


def weight_of_late(checkpoint: Path) -> float:
    """Return the factor that converts late scores to logits."""
    with safe_open(checkpoint / WEIGHTS_FILE, "np") as tensors:
        return float(tensors.get_tensor("similarity_weight"))


def late_table(runtime: PixelBertRuntime, encoded: EncodedPictures, show: ProgressCallback) -> Floats:
    """Return the late scores [captions, pictures]."""
    texts = [encoded.texts[sentence] for sentence in Captions.of(encoded.pictures).sentences]
    rows = []
    for start in range(0, len(texts), 1000):
        some = texts[start : start + 1000]
        parts = [slice(first, first + 16) for first in range(0, len(encoded.grids), 16)]
        blocks = [runtime.late_scores(some, encoded.grids[part], encoded.embeddings[part]) for part in parts]
        rows.append(np.concatenate(blocks, axis=1))
        show(Progress("late scores", start + len(some), len(texts)))
    return np.concatenate(rows)


def nearest_of(search: Search, late: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the nearest items of each query, and their late scores [queries, items]."""
    nearest = nearest_items(search.similarity, search.matches, MOST)
    return nearest, late[search.queries[:, None], nearest]


def score(search: Search, late: Floats, weight: float, margin: float, kept: Path, show: ProgressCallback) -> None:
    """Save what the joint stream adds to the logits of the pairs that can affect the result [queries, items].

    Other pairs are NaN, and queries that are not finished are inf.
    """
    nearest, scores = nearest_of(search, late)
    added = np.load(kept) if kept.exists() else np.full(nearest.shape, np.inf, np.float32)
    rows = random.Random(0).sample(range(len(added)), len(added))  # so that the finished queries are a random sample
    for done, row in enumerate(rows, start=1):
        if np.isinf(added[row]).any():
            added[row] = np.nan
            read = np.zeros(MOST, bool)
            read[:ALL_READ] = True
            for count in LATE:
                read[np.argsort(-scores[row, :count], kind="stable")[: max(JOINT)]] = True
            right = search.matches[row, nearest[row]] & read
            if right.any():
                read &= abs(scores[row] - scores[row, right].max()) * weight <= margin
                items, late_scores = nearest[row, read], scores[row, read]
                added[row, read] = search.match(int(search.queries[row]), items, late_scores) - weight * late_scores
        if done % KEEP_EVERY == 0 or done == len(rows):
            np.save(kept, added)
        show(Progress("matching", done, len(rows)))


def print_table(
    every: dict[str, Search], late: Floats, weight: float, kept: Path, milliseconds: dict[tuple[int, int], float]
) -> None:
    """Print the recall in both directions, and the times."""
    found = {}
    for name, search in every.items():
        nearest, scores = nearest_of(search, search.rows_of(late))
        added = np.load(kept_in(kept, name))
        done = ~np.isinf(added).any(1)
        nearest, scores, added = nearest[done], scores[done], added[done]
        mean = np.nan_to_num(np.nansum(added, 1) / np.maximum((~np.isnan(added)).sum(1), 1))
        logits = weight * scores + np.where(np.isnan(added), mean[:, None], added)
        part = dataclasses.replace(
            search, queries=search.queries[done], similarity=search.similarity[done], matches=search.matches[done]
        )
        found[name] = part, Scored(nearest, scores, logits.astype(np.float32))
        print(
            f"{name}: {done.sum():,} of {len(done):,} done, {(~np.isnan(added)).sum(1).mean():.1f} pairs matched each"
        )
    print(f"| late, joint | {' | '.join(f'{name}: R@1, 5, 10' for name in found)} | ms | of all |")
    print("|---|---|---|---|---|")
    whole = milliseconds.get((0, ALL_READ))
    for orders, reads in [(0, 0), (0, ALL_READ), *((late, joint) for late in LATE for joint in JOINT)]:
        recalls = [
            Recall.of(cascade_ranks(search, scored.first(orders or reads), reads)) for search, scored in found.values()
        ]
        figures = " | ".join(f"{one.r1:.1f}, {one.r5:.1f}, {one.r10:.1f}" for one in recalls)
        taken = milliseconds.get((orders, reads))
        end = "- | -" if taken is None or whole is None else f"{taken:.0f} | {taken / whole:.0%}"
        print(f"| {orders or '-'}, {reads or '-'} | {figures} | {end} |")


def times(runtime: PixelBertRuntime, encoded: EncodedPictures) -> dict[tuple[int, int], float]:
    """Return the milliseconds that the second stage takes.

    They are keyed by the numbers of candidates in late interaction and in the joint stream.
    """
    text, taken = encoded.pictures[0].captions[0], dict[tuple[int, int], list[float]]()
    for number in range(ROUNDS + 1):
        for orders, reads in TIMED:
            started = time.perf_counter()
            read, count = runtime.read_texts([text]), orders or reads
            late = runtime.late_scores(read, encoded.grids[:count], encoded.embeddings[:count])[0]
            chosen = np.argsort(-late)[:reads]
            runtime.match(read, [encoded.grids[one] for one in chosen], late[chosen])
            if number:  # the first round is a warm-up
                taken.setdefault((orders, reads), []).append(1000 * (time.perf_counter() - started))
    return {row: statistics.median(values) for row, values in taken.items()}


if __name__ == "__main__":
    typer.run(main)
