"""Evaluate a checkpoint with human judgements: judged queries for an album, and near misses of captioned pictures.

    python benchmarks/judged.py --benchmark album/benchmark.json --album album/images \\
        --near-misses more/dataset.json --near-misses more2/dataset.json --model my-model

The format of the judged queries is described in docs/guide.md. For each photo, the benchmark file also contains a
description ("sentence"), a short query ("short"), and the other photos that match the short query ("also").
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pixsearch.model.checkpoints import find_checkpoint, mean_pixel
from pixsearch.model.grids import pack_grid, unpack_grids
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.progress import ProgressCallback
from pixsearch.search.cascade import ordered_by_late
from pixsearch.search.hits import LIKELY_FROM
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch.storage import to_path
from pixsearch_cli.output import progress_bars
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.reading import read_captioned
from pixsearch_trainer.evaluation.calibration import calibrate, predict_left_out, reliability
from pixsearch_trainer.evaluation.encoding import EncodedPictures, encode
from pixsearch_trainer.evaluation.judged import (
    JudgedQuery,
    JudgedSearch,
    area_under_curve,
    average_precision,
    encode_album,
    read_judged,
    right_photos,
    search_album,
)
from pixsearch_trainer.evaluation.known_pairs import judged_pairs
from pixsearch_trainer.evaluation.near_misses import score_near_misses, with_near_misses

CANDIDATES = 32
"""The number of candidates used to fit calibrations. Answers are evaluated with the defaults of a search."""


def main(
    benchmark: Annotated[Path, typer.Option(help="Judged queries, descriptions and short queries for the album.")],
    album: Annotated[Path, typer.Option(help="Folder with the album's photos.")],
    near_misses: Annotated[
        list[Path] | None,
        typer.Option(help="A dataset.json with near misses, next to its images/ folder; may be repeated."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="See pixsearch query.")] = None,
    sample: Annotated[int, typer.Option(help="Number of pictures whose near misses are scored.")] = 100,
    others: Annotated[int, typer.Option(help="Number of other pictures used for the mean score of a text.")] = 12,
) -> None:
    checkpoint = find_checkpoint(model)
    runtime = PixelBertRuntime(checkpoint)
    with progress_bars() as show:
        photos = encode_album(runtime, to_path(str(album)), show)
        print_descriptions(runtime, photos, json.loads(benchmark.read_text(encoding="utf-8"))["photos"], show)
        queries = read_judged(to_path(str(benchmark)))
        texts, right = [query.text for query in queries], right_photos(queries, photos)
        ordered = ordered_by_late(DEFAULT_CANDIDATES)
        answered = search_album(runtime, photos, texts, right, ordered, DEFAULT_CANDIDATES, show)
        print_judged(answered, search_album(runtime, photos, texts, right, CANDIDATES, CANDIDATES, show))
        captioned = [read_captioned(data, data.parent / "images").pictures for data in near_misses or ()]
        found = with_near_misses(picture for pictures in captioned for picture in of_split(pictures, "val"))
        if found:
            drawn = random.Random(0).sample(found, min(sample, len(found)))
            encoded = encode(runtime, [CaptionedPicture(one.file, ()) for one in drawn], show)
            grids, _ = unpack_grids(encoded.grids, len(mean_pixel(checkpoint)))
            mean = pack_grid(grids.mean(0))
            scores = score_near_misses(
                runtime, drawn, encoded, (runtime.embed_grid(mean), mean), others, on_progress=show
            )
            print(f"accuracy on near misses, {len(drawn)} of {len(found)} pictures: sentences, short queries")
            for name, one in scores.items():
                print(f"  {name}: {one.accuracy[0]:.1f}, {one.accuracy[1]:.1f}")


def print_descriptions(
    runtime: PixelBertRuntime, photos: EncodedPictures, described: dict[str, dict[str, str]], show: ProgressCallback
) -> None:
    """Print R@1 for the descriptions and the short queries of all photos."""
    for kind in ("sentence", "short"):
        queries = [
            JudgedQuery(one[kind], (name, *(one["also"] if kind == "short" else ()))) for name, one in described.items()
        ]
        right = right_photos(queries, photos)
        texts, ordered = [query.text for query in queries], ordered_by_late(DEFAULT_CANDIDATES)
        found = search_album(runtime, photos, texts, right, ordered, DEFAULT_CANDIDATES, show)
        stages = [f"{100 * _first_is_right(found, reranked=reranked).mean():.1f}" for reranked in (False, True)]
        print(f"{kind} R@1 of {len(queries)}: first stage {stages[0]}, re-ranked {stages[1]}")


def print_judged(found: JudgedSearch, all_read: JudgedSearch) -> None:
    """Print how well the judged queries are answered, and how reliable the probabilities are.

    Args:
        found: the results with the settings of a search.
        all_read: the results if both stages score all candidates.
    """
    present = found.part(found.present)
    for name, reranked in (("first stage", False), ("re-ranked", True)):
        first = _first_is_right(present, reranked=reranked).sum()
        precision = average_precision(present.order(reranked=reranked), present.right).mean()
        print(f"judged queries, {name}: first hit correct {first} of {len(present.right)}, mAP {100 * precision:.1f}")
    by_similarity = area_under_curve(found.similarity.max(1), found.present)
    by_match = area_under_curve(np.nanmax(found.logits, 1), found.present)
    print(f"AUC, present vs. absent: best similarity {by_similarity:.3f}, best probability {by_match:.3f}")
    pairs = judged_pairs(all_read)
    for stage, report in calibrate(pairs).items():
        at_half = next(one for one in report.trade_off if one.probability == LIKELY_FROM)
        print(
            f"{stage} curve, threshold {LIKELY_FROM}, cross-validated: "
            f"answered {at_half.answered} of {report.present}, "
            f"refused {at_half.refused} of {report.absent}; correct among {report.likely} likely pairs: "
            f"{report.likely_right or 0:.1%}, predicted {report.likely_said or 0:.1%}; "
            f"log loss {report.log_loss:.4f}, expected calibration error {report.expected_error:.2%}"
        )
    by_late = np.argsort(np.argsort(-all_read.late, 1, kind="stable"), 1)
    unread = pairs.part((by_late >= DEFAULT_CANDIDATES).ravel())
    predicted = predict_left_out(pairs, "late")[(by_late >= DEFAULT_CANDIDATES).ravel()]
    likely = predicted >= LIKELY_FROM
    print(
        f"the {len(predicted):,} pairs that the joint stream does not read, late curve: "
        f"{predicted.mean():.2%} predicted, {unread.right.mean():.2%} correct; {likely.sum()} likely, of which "
        f"{unread.right[likely].sum()} are correct; expected calibration error "
        f"{reliability(predicted, unread.right, unread.weights)[0]:.2%}"
    )


def _first_is_right(found: JudgedSearch, *, reranked: bool) -> NDArray[np.bool_]:
    first = found.order(reranked=reranked)[:, :1]
    return np.take_along_axis(found.right, first, 1)[:, 0]


if __name__ == "__main__":
    typer.run(main)
