"""Options that several commands share."""

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
        help="Library folder or PostgreSQL URL. [default: PIXSEARCH_LIBRARY, or a folder in your data folder]",
    ),
]


def _model_option(default: str) -> OptionInfo:
    option: OptionInfo = typer.Option(
        "--model",
        metavar="NAME|DIR|hub:ORG/NAME",
        envvar="PIXSEARCH_MODEL",
        show_envvar=False,
        help="Checkpoint folder, its name in your model folder, or a Hub model downloaded with pixsearch model get. "
        f"[default: {default}]",
    )
    return option


ModelOption = Annotated[str | None, _model_option("the library's model, or the built-in one")]

CheckpointOption = Annotated[str | None, _model_option("the built-in one")]

MaxBadOption = Annotated[
    int | None,
    typer.Option(
        "--max-bad", min=0, help="Skip up to N bad entries in the data. [default: 1 % of the pictures, at least 10]"
    ),
]


class ProgressFormat(StrEnum):
    text = "text"
    json = "json"


ProgressOption = Annotated[
    ProgressFormat,
    typer.Option("--progress", help="Progress format on stderr: bars, or one JSON object per line."),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

PathsOption = Annotated[bool, typer.Option("--paths", help="Print only paths, one per line.")]
NullOption = Annotated[bool, typer.Option("--null", "-0", help="Print only paths, each followed by NUL.")]

PicturesOption = Annotated[
    bool | None,
    typer.Option(
        "--pictures/--no-pictures",
        help="Show thumbnails. [default: shown if stdout is a terminal]",
        show_default=False,
    ),
]
