"""`pixsearch query`: find photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.search.query import DEFAULT_CANDIDATES, Picture, Query, Words
from pixsearch.settings import library_folder
from pixsearch_cli.checkpoint import checkpoint_for
from pixsearch_cli.options import JsonOption, LibraryOption, ModelOption
from pixsearch_cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from pixsearch import Hit

NOTHING_MATCHES = 3


def query(
    words: Annotated[str | None, typer.Argument(metavar="WORDS", help="What to look for.", show_default=False)] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="Look for photos like this one instead.")
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="N", min=1, help="How many photos to show.")] = 10,
    candidates: Annotated[
        int, typer.Option("--candidates", metavar="N", min=1, help="How many of the nearest photos to look at closely.")
    ] = DEFAULT_CANDIDATES,
    rerank: Annotated[
        bool | None,
        typer.Option(
            "--rerank/--no-rerank",
            help="Order by match, or by similarity alone. [default: what the model is better at]",
            show_default=False,
        ),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find photos.

    For example: pixsearch query "cherry blossoms in spring"

    Exit code 3: nothing in this library matches.
    """
    asked = Query((_part(words, image),), candidates=candidates, rerank=rerank)
    hits = _search(asked, top_k, library_folder(library), model)
    if not hits:
        say("nothing in this library matches")
        raise typer.Exit(NOTHING_MATCHES)
    if as_json:
        for hit in hits:
            print_json(_record(hit))
    else:
        print_table(*_table(hits))


def _part(words: str | None, image: Path | None) -> Words | Picture:
    if words is not None and image is None:
        return Words(words)
    if image is not None and words is None:
        return Picture(image)
    raise UsageError("a query is either words or an --image", 'For example: pixsearch query "a cat"')


def _search(asked: Query, k: int, folder: Path, model: str | None) -> list[Hit]:
    from pixsearch import Library

    with Library.open(folder) as library:
        if (indexed_with := library.model()) is None:  # nothing was ever indexed
            return []
        checkpoint = checkpoint_for(model, indexed_with)
        # Only now: what cannot be answered need not wait for torch.
        from pixsearch import SearchEngine
        from pixsearch.model.runtime import PixelBertRuntime

        return SearchEngine(library, PixelBertRuntime(checkpoint)).search(asked, k)


def _record(hit: Hit) -> dict[str, object]:
    return {
        "rank": hit.rank,
        "path": hit.path,
        "similarity": hit.similarity,
        "similarity_rank": hit.similarity_rank,
        "match": hit.match,
        "probability": hit.probability,
        "copies": hit.copies,
    }


def _table(hits: list[Hit]) -> tuple[list[str], list[list[str]]]:
    headings = ["rank", "match", "similarity", "photo"]
    rows = [[str(hit.rank), _match(hit), f"{hit.similarity:.3f} ({hit.similarity_rank})", _photo(hit)] for hit in hits]
    if hits[0].match is None:
        return [headings[0], *headings[2:]], [[row[0], *row[2:]] for row in rows]
    return headings, rows


def _match(hit: Hit) -> str:
    if hit.probability is not None:
        return f"{hit.probability:.0%}"
    return "" if hit.match is None else f"{hit.match:.2f}"


def _photo(hit: Hit) -> str:
    if not hit.copies:
        return str(hit.path)
    return f"{hit.path} (and {len(hit.copies)} {'copy' if len(hit.copies) == 1 else 'copies'})"
