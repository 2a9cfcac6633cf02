"""Loads models that transformers has saved to a folder. This never runs code from the folder or reads pickles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from huggingface_hub.errors import StrictDataclassError  # isort: skip
from transformers.utils import logging  # isort: skip

from pixsearch.errors import CheckpointInvalid, first_line
from pixsearch.extras import pip
from pixsearch.model.checkpoints import TOKENIZER_FILE
from pixsearch.regular_files import require_regular_files

LOADING_ERRORS = (
    ImportError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
"""The exceptions that transformers raises for damaged or missing files."""
COPY_AGAIN = "Download or copy the whole model again"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def be_quiet() -> None:
    """Turn off transformers' log messages and progress bars, so that errors are reported in a single line."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def require_readable(folder: Path) -> None:
    """Raise CheckpointInvalid if a folder contains a file that could block when read, such as a pipe."""
    try:
        require_regular_files(str(folder))
    except OSError as error:
        raise CheckpointInvalid(f"{error.filename or folder} cannot be read ({error.strerror})", COPY_AGAIN) from error


def load_weights(folder: Path, kind: Any) -> tuple[Any, list[str]]:
    """Load a model in fp32 with a transformers class. Return it with the names of missing weights.

    Raises CheckpointInvalid if the weights cannot be read or are not in safetensors.
    """
    if not weight_files(folder):
        pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
        found = f"only {pickles[0]}, a pickle, which can run code" if pickles else "there is no weights file"
        raise CheckpointInvalid(
            f"{folder} has no weights in safetensors: {found}", "Use a model that has model.safetensors"
        )
    try:
        model, loading = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except LOADING_ERRORS as error:
        raise CheckpointInvalid(f"the weights in {folder} cannot be read ({first_line(error)})", COPY_AGAIN) from error
    missing = sorted([*loading["missing_keys"], *(one[0] for one in loading["mismatched_keys"])])
    return model.eval().requires_grad_(False), missing


def require_all_weights(folder: Path, missing: list[str]) -> None:
    """Raise CheckpointInvalid if a model lacks weights."""
    if missing:
        raise CheckpointInvalid(f"{folder} lacks {len(missing)} of its weights ({missing[0]} ..)", COPY_AGAIN)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files in a folder, sorted by name."""
    return sorted(folder.glob("*.safetensors"))


def load_part(folder: Path, what: str, load: Callable[..., Any]) -> Any:
    """Load a tokenizer or processor with its `from_pretrained` method. `what` is its name in error messages.

    Raises CheckpointInvalid.
    """
    try:
        return load(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        raise CheckpointInvalid(
            f"the {what} in {folder} requires a package that is not installed ({first_line(error)})",
            f"Install the package with: {pip('install', 'pixsearch[hub]')}",
        ) from error
    except LOADING_ERRORS as error:
        raise CheckpointInvalid(f"the {what} in {folder} cannot be read ({first_line(error)})", COPY_AGAIN) from error


def require_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Raise CheckpointInvalid if a tokenizer does not come from a file.

    If there is no file, transformers silently creates an empty tokenizer.
    """
    if not any((folder / name).is_file() for name in {*tokenizer.vocab_files_names.values(), TOKENIZER_FILE}):
        raise CheckpointInvalid(f"{folder} has no tokenizer", COPY_AGAIN)
