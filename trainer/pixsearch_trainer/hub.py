"""The hub of models, without its own talk: what goes wrong is said in one line by whoever asked for a model."""

from __future__ import annotations

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from huggingface_hub.utils import logging as hub_logging  # isort: skip
from transformers.utils import logging  # isort: skip


def quieten_hub() -> None:
    """No progress bars, no list of weights that are left out on purpose, no retries one by one."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
