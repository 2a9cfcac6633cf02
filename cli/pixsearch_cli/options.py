"""The options that mean the same in every command."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.models import OptionInfo

LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        metavar="DIR|URL",
        envvar="PIXSEARCH_LIBRARY",
        show_envvar=False,
        help="The library's folder, or its PostgreSQL database. [default: PIXSEARCH_LIBRARY, else in your data folder]",
    ),
]


def _model_option(default: str) -> OptionInfo:
    option: OptionInfo = typer.Option(
        "--model",
        metavar="NAME|DIR|hub:ORG/NAME",
        envvar="PIXSEARCH_MODEL",
        show_envvar=False,
        help="A checkpoint's folder, its name in your model folder, or that of a model of the Hugging Face hub that "
        f"pixsearch model get has brought. [default: {default}]",
    )
    return option


ModelOption = Annotated[str | None, _model_option("the library's, else what ships")]

CheckpointOption = Annotated[str | None, _model_option("the one that ships")]

MaxBadOption = Annotated[
    int | None,
    typer.Option(
        "--max-bad", min=0, help="Bad entries of the data to pass over. [default: 1 in 100 pictures, at least 10]"
    ),
]


class ProgressFormat(StrEnum):
    text = "text"
    json = "json"


ProgressOption = Annotated[
    ProgressFormat,
    typer.Option("--progress", help="How progress is shown on stderr: json writes objects, one a line, for programs."),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

PathsOption = Annotated[bool, typer.Option("--paths", help="Print the paths alone, one a line.")]
NullOption = Annotated[bool, typer.Option("--null", "-0", help="Print the paths alone, a NUL behind each.")]

PicturesOption = Annotated[
    bool | None,
    typer.Option(
        "--pictures/--no-pictures",
        help="Show small pictures. [default: where stdout is a terminal]",
        show_default=False,
    ),
]
