"""Loads what transformers has saved to a folder, and nothing else: no code of the folder is run, no pickle is read."""

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
"""What transformers raises for files that are damaged or missing."""
COPY_AGAIN = "Download or copy the whole model again"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def be_quiet() -> None:
    """Report errors in one line, without transformers' own lines and bars beside it."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def require_readable(folder: Path) -> None:
    """Check that no file of a folder is something to wait for, such as a pipe. Raises CheckpointInvalid."""
    try:
        require_regular_files(str(folder))
    except OSError as error:
        raise CheckpointInvalid(f"{error.filename or folder} cannot be read ({error.strerror})", COPY_AGAIN) from error


def load_weights(folder: Path, kind: Any) -> tuple[Any, list[str]]:
    """Load a model of a kind that transformers has, in fp32. Returns it with the names of the weights that it lacks.

    Raises CheckpointInvalid where the weights are missing, damaged or not in safetensors.
    """
    if not weight_files(folder):
        pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
        found = f"only {pickles[0]}, a pickle, which can run code" if pickles else "no file of weights"
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
    """Raises CheckpointInvalid where a model lacks weights."""
    if missing:
        raise CheckpointInvalid(f"{folder} lacks {len(missing)} of its weights ({missing[0]} ..)", COPY_AGAIN)


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in safetensors, by name."""
    return sorted(folder.glob("*.safetensors"))


def load_part(folder: Path, what: str, load: Callable[..., Any]) -> Any:
    """Load a tokenizer or processor by a `from_pretrained`. Raises CheckpointInvalid, which calls it `what`."""
    try:
        return load(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        raise CheckpointInvalid(
            f"the {what} of {folder} needs a package that is not installed ({first_line(error)})",
            f"Install it with: {pip('install', 'pixsearch[hub]')}",
        ) from error
    except LOADING_ERRORS as error:
        raise CheckpointInvalid(f"the {what} of {folder} cannot be read ({first_line(error)})", COPY_AGAIN) from error


def require_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Check that a tokenizer came from a file: without any, transformers makes an empty one and says nothing.

    Raises CheckpointInvalid.
    """
    if not any((folder / name).is_file() for name in {*tokenizer.vocab_files_names.values(), TOKENIZER_FILE}):
        raise CheckpointInvalid(f"{folder} has no tokenizer", COPY_AGAIN)
