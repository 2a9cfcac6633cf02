"""The models of transformers that read a text and a picture together, and have a head that says whether they match.

Such a model cannot index: it has no embedding of either alone. `pixsearch.model.torch_pair_reader` runs it.
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
    """The names that transformers gives to the parts of such a model."""

    model: str
    processor: str
    head: str
    """Begins the names of its head's weights."""


_FAMILIES = {
    "blip": MatchingFamily("BlipForImageTextRetrieval", "BlipProcessor", "itm_head."),
    "bridgetower": MatchingFamily("BridgeTowerForImageAndTextRetrieval", "BridgeTowerProcessor", "itm_score."),
    "vilt": MatchingFamily("ViltForImageAndTextRetrieval", "ViltProcessor", "rank_output."),
}
"""The heads by the model type in config.json."""


def model_type(folder: Path) -> str | None:
    """Return the type that transformers gives the model of a folder; None where config.json does not say one."""
    try:
        return str(json.loads(read_regular(folder / _CONFIG_FILE, CONFIG_LIMIT_BYTES))["model_type"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def is_matching(folder: Path) -> bool:
    """Return whether the model of a folder is of a family with such a head; its weights may lack it still."""
    return model_type(folder) in _FAMILIES


def matching_family(folder: Path, name: str) -> MatchingFamily:
    """Return the family of the model of that name in a folder. Raises CheckpointInvalid for a model of none."""
    family = _FAMILIES.get(model_type(folder) or "")
    if family is None:
        raise without_head(name)
    return family


def without_head(name: str) -> CheckpointInvalid:
    """Return the error for a model that cannot re-rank by pictures and texts."""
    return CheckpointInvalid(
        f"the model {name} has no head that matches texts with pictures",
        "Use a BLIP, BridgeTower or ViLT that was trained for retrieval, such as hub:Salesforce/blip-itm-base-coco",
    )


def only_matching(name: str) -> CheckpointInvalid:
    """Return the error for such a model where one is needed that can index and search."""
    return CheckpointInvalid(
        f"the model {name} matches texts with pictures but has no embeddings to search by",
        "Give it to pixsearch query or serve as --rerank-model",
    )
