"""`pixsearch add-graphs`: make a checkpoint one that a CPU can search with."""

from __future__ import annotations

from typing import Annotated

import typer

from pixsearch.extras import require


def add_graphs(
    model: Annotated[str, typer.Argument(metavar="NAME|DIR", help="Checkpoint folder or name.")],
) -> None:
    """Add the graphs that a CPU runs to a checkpoint.

    pixsearch train does this itself. Use it for checkpoints of older versions, or from machines without OpenVINO.

    For example: pixsearch add-graphs my-model
    """
    require("pixsearch add-graphs", "train", "openvino", "torch", "torchvision", "transformers")
    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.model.graphs import GRAPHS_FILE
    from pixsearch.model.tracing import add_graphs as trace

    checkpoint = find_checkpoint(model)
    trace(checkpoint)
    print(checkpoint / GRAPHS_FILE)
