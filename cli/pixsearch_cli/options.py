"""The options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        metavar="DIR",
        help="The library's folder. [default: PIXSEARCH_LIBRARY, else one in your data folder]",
    ),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="A checkpoint's folder, or its name in your model folder. [default: the library's, else what ships]",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
