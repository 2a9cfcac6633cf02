"""`--rerank-model`: a different model for the second stage of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import ModelNotFound
from pixsearch.extras import require
from pixsearch_cli.output import show_message

if TYPE_CHECKING:
    from pixsearch import Hit
    from pixsearch.search.runtime import PairReader

RerankModelOption = Annotated[
    str | None,
    typer.Option(
        "--rerank-model",
        metavar="NAME|DIR|hub:ORG/NAME",
        help="Re-rank with a model that reads each photo together with the words: a BLIP, BridgeTower or ViLT model "
        "downloaded with pixsearch model get, or its folder.",
    ),
]


def load_rerank_model(name: str) -> PairReader:
    """Load a re-rank model by name. Raises ModelNotFound, CheckpointInvalid, and PixsearchError if torch is missing."""
    from pixsearch.model.checkpoints import HUB, checkpoint_name, find_checkpoint
    from pixsearch.model.matching_heads import matching_family

    try:
        folder = find_checkpoint(name)
    except ModelNotFound as error:
        if name.startswith(HUB):
            raise
        raise ModelNotFound(
            error.message, "Set --rerank-model to a folder or the name of a model on the Hub"
        ) from error
    matching_family(folder, checkpoint_name(folder))
    require("--rerank-model", "hub", "torch", "torchvision", "transformers")
    from pixsearch.model.torch_pair_reader import TorchPairReader

    return TorchPairReader(folder)


def tell_unread(hits: Sequence[Hit]) -> None:
    """Show how many photos the model could not read, and the reason for the first one."""
    unread = [hit for hit in hits if hit.match_error is not None]
    if unread:
        photos = "1 photo" if len(unread) == 1 else f"{len(unread)} photos"
        keep = "keeps its rank" if len(unread) == 1 else "keep their ranks"
        show_message(f"{photos} could not be re-ranked and {keep}: {unread[0].path}: {unread[0].match_error}")
