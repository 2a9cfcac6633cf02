"""Models from transformers that read a text and a picture together and have a head that predicts if they match.

Such a model cannot index photos, because it does not embed texts and pictures separately.
`pixsearch.model.torch_pair_reader` runs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pixsearch.errors import CheckpointInvalid
from pixsearch.model.config import CONFIG_LIMIT_BYTES
from pixsearch.regular_files import read_regular

_CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class MatchingFamily:
    """A family of such models, with the names of its classes and of its head in transformers."""

    model: str
    processor: str
    head: str
    """The prefix of the names of the head's weights."""


_FAMILIES = {
    "blip": MatchingFamily("BlipForImageTextRetrieval", "BlipProcessor", "itm_head."),
    "bridgetower": MatchingFamily("BridgeTowerForImageAndTextRetrieval", "BridgeTowerProcessor", "itm_score."),
    "vilt": MatchingFamily("ViltForImageAndTextRetrieval", "ViltProcessor", "rank_output."),
}
"""The families, keyed by the model type in config.json."""


def model_type(folder: Path) -> str | None:
    """Return the model type in a folder's config.json, or None if it has none."""
    try:
        return str(json.loads(read_regular(folder / _CONFIG_FILE, CONFIG_LIMIT_BYTES))["model_type"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def is_matching(folder: Path) -> bool:
    """Return whether the model in a folder belongs to one of these families. Its weights may still lack the head."""
    return model_type(folder) in _FAMILIES


def matching_family(folder: Path, name: str) -> MatchingFamily:
    """Return the family of the model in a folder. `name` is used in the error message.

    Raises CheckpointInvalid if the model does not belong to any of these families.
    """
    family = _FAMILIES.get(model_type(folder) or "")
    if family is None:
        raise without_head(name)
    return family


def without_head(name: str) -> CheckpointInvalid:
    """Return the error for a model that cannot re-rank because it has no matching head."""
    return CheckpointInvalid(
        f"the model {name} has no image-text matching head",
        "Use a BLIP, BridgeTower or ViLT model trained for retrieval, such as hub:Salesforce/blip-itm-base-coco",
    )


def only_matching(name: str) -> CheckpointInvalid:
    """Return the error for a matching model that is used in place of a model for indexing and searching."""
    return CheckpointInvalid(
        f"the model {name} matches texts with pictures but has no embeddings to search with",
        "Use it for re-ranking, with --rerank-model in pixsearch query or serve",
    )
