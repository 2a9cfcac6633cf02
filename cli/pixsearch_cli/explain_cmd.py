"""`pixsearch explain`: where in a photo a query's words are found."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from pixsearch.durable import is_stream, leads_to_stdout, write_output
from pixsearch.errors import PictureError, UsageError
from pixsearch.search.query import Words
from pixsearch.storage import to_path
from pixsearch_cli.json_records import explanation_record
from pixsearch_cli.options import CheckpointOption, JsonOption
from pixsearch_cli.output import print_json, print_table


def explain(
    words: Annotated[str, typer.Argument(metavar="WORDS", help="What the photo is asked for.")],
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="Any picture; it need not be in a library.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Draw the maps, as PNG.")] = None,
    model: CheckpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how well words and a photo match, and show where in it each word is found.

    For example: pixsearch explain "two dogs in snow" photo.jpg --out map.png

    Each word's map lights the part of the photo that late interaction compares best with it; articles, prepositions and
    the like have none.
    """
    asked = Words(words).text
    if out is not None and out.suffix.lower() != ".png" and not is_stream(out):
        raise UsageError(f"{out} is no name for a PNG", "Give --out a name that ends in .png")
    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.pictures import open_picture

    checkpoint = find_checkpoint(model)
    try:
        picture = open_picture(to_path(photo))
    except PictureError as error:
        raise PictureError(f"{photo}: {error.message}", error.hint) from error
    from pixsearch.model.load_runtime import load_runtime
    from pixsearch.search.explain import draw, explain_picture
    from pixsearch.search.hits import percent

    explanation = explain_picture(load_runtime(checkpoint), asked, picture)
    if out is not None:
        buffer = io.BytesIO()
        draw(explanation, picture).save(buffer, "PNG")
        write_output(out, buffer.getvalue())
    if as_json:
        print_json(explanation_record(explanation))
        return
    if out is not None and leads_to_stdout(out):
        return
    rows = [[f"{cosine:.2f}", place, word] for word, cosine, place in explanation.strongest()]
    print_table(["cosine", "most at", "word"], rows)
    probability = "" if explanation.probability is None else f", probability {percent(explanation.probability)}"
    print(f"match {explanation.match:.2f}{probability}")
