"""`pixsearch add-graphs`: prepare a checkpoint for searching on a CPU."""

from __future__ import annotations

from typing import Annotated

import typer

from pixsearch.extras import require


def add_graphs(
    model: Annotated[str, typer.Argument(metavar="NAME|DIR", help="Checkpoint folder or name.")],
) -> None:
    """Add the graphs for inference on a CPU to a checkpoint.

    pixsearch train does this automatically. Use this command for checkpoints from older versions, or from machines
    without OpenVINO.

    A folder in the transformers format with CLIP, SigLIP or another model that embeds pictures and text also needs
    graphs before you can search with it. pixsearch model get adds them automatically.

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
