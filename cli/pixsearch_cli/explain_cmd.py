"""`pixsearch explain`: show where in a photo the words of a query are found."""

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
    words: Annotated[str, typer.Argument(metavar="WORDS", help="Words to look for in the photo.")],
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="Picture file; it need not be in a library.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the maps to this PNG file.")] = None,
    model: CheckpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how well words match a photo, and where each word is found in it.

    For example: pixsearch explain "two dogs in snow" photo.jpg --out map.png

    The map for a word highlights the parts of the photo that match the word best in late interaction. Articles,
    prepositions and similar words have no map.
    """
    asked = Words(words).text
    if out is not None and out.suffix.lower() != ".png" and not is_stream(out):
        raise UsageError(f"{out} is not a PNG file name", "--out must end in .png")
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
    rows = [[f"{cosine:.2f}", where, word] for word, cosine, where in explanation.strongest()]
    print_table(["cosine", "strongest in", "word"], rows)
    probability = "" if explanation.probability is None else f", probability {percent(explanation.probability)}"
    print(f"match {explanation.match:.2f}{probability}")
