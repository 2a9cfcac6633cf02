"""`pixsearch add-graphs`: make a checkpoint one that a CPU can search with."""

from __future__ import annotations

from typing import Annotated

import typer

from pixsearch.extras import require


def add_graphs(
    model: Annotated[str, typer.Argument(metavar="NAME|DIR", help="The checkpoint: its name, or its folder.")],
) -> None:
    """Add to a checkpoint the graphs that a CPU runs.

    pixsearch train does so itself. Use it for checkpoints of an older pixsearch, or of a machine without OpenVINO.

    A folder in the format of transformers, with CLIP, SigLIP or another model that embeds pictures and texts, can be
    searched with once it has graphs. pixsearch model get adds them itself.

    For example: pixsearch add-graphs my-model
    """
    from pixsearch.model.checkpoints import find_checkpoint, is_dual_encoder

    checkpoint = find_checkpoint(model)
    is_dual = is_dual_encoder(checkpoint)
    require("pixsearch add-graphs", "hub" if is_dual else "train", "openvino", "torch", "torchvision", "transformers")
    if is_dual:
        from pixsearch.model.conversion import convert
        from pixsearch.model.dual_encoder_config import DUAL_ENCODER_FILE

        convert(checkpoint)
        print(checkpoint / DUAL_ENCODER_FILE)
        return
    from pixsearch.model.graphs import GRAPHS_FILE
    from pixsearch.model.tracing import add_graphs as trace

    trace(checkpoint)
    print(checkpoint / GRAPHS_FILE)
