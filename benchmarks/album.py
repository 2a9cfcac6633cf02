"""Search an album of everyday photos with twenty queries that have known answers and five that have none.

    python benchmarks/album.py --album album/images

album.json maps each query to the numbers of the correct photos (29 is photo_0029.jpg).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from pixsearch import Hit, Library, Query, SearchEngine, Words
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch_indexer import index_folders

QUERIES = Path(__file__).with_suffix(".json")


class Ranks(NamedTuple):
    """The rank of the first correct photo in each stage, from 1; 0 if it is not among the candidates."""

    first_stage: int
    reranked: int


def main(
    album: Annotated[Path, typer.Option(help="Folder with the photos.")],
    model: Annotated[str | None, typer.Option(help="See pixsearch query.")] = None,
) -> None:
    named = json.loads(QUERIES.read_text(encoding="utf-8"))
    runtime = PixelBertRuntime(find_checkpoint(model))
    with tempfile.TemporaryDirectory() as folder, Library.create(Path(folder)) as library:
        index_folders(library, runtime, [album])
        engine = SearchEngine(library, runtime)
        print("| query | first stage | re-ranked | best probability |")
        print("|---|---|---|---|")
        found = []
        for query, numbers in named["queries"].items():
            hits = engine.search(Query((Words(query),), rerank=True), k=64)
            right = {f"photo_{number:04}.jpg" for number in numbers}
            found.append(Ranks(_rank(hits, right, "similarity_rank"), _rank(hits, right, "rank")))
            print(f"| {query} | {found[-1].first_stage or '-'} | {found[-1].reranked or '-'} | {_best(hits)} |")
        for query in named["not_there"]:
            hits = engine.search(Query((Words(query),), rerank=True), k=64)
            print(f"| {query} | no answer | no answer | {_best(hits)} |")
    for stage in Ranks._fields:
        ranks = [getattr(one, stage) for one in found]
        hit_at = {k: sum(1 <= rank <= k for rank in ranks) for k in (1, 5)}
        print(f"{stage.replace('_', ' ')}: hit@1 {hit_at[1]}, hit@5 {hit_at[5]} of {len(ranks)}")


def _rank(hits: list[Hit], right: set[str], by: str) -> int:
    return min((getattr(hit, by) for hit in hits if hit.path.name in right), default=0)


def _best(hits: list[Hit]) -> str:
    probabilities = [hit.probability for hit in hits if hit.probability is not None]
    return f"{max(probabilities):.1%}" if probabilities else "-"


if __name__ == "__main__":
    typer.run(main)
