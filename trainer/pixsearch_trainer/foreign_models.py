"""Finds the models that a training starts or learns from on this machine. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from pixsearch.errors import ModelNotFound, UsageError
from pixsearch.model.checkpoints import CONFIG_FILE, HUB, hub_folder


def foreign_folder(source: str, *get_options: str) -> Path:
    """Return the folder of a model in transformers' format: that folder itself, or what `pixsearch model get` has
    brought of the hub, by hub:organisation/model or without hub:.

    Args:
        get_options: with which `pixsearch model get` downloads a model of this kind.

    Raises:
        ModelNotFound: it is not on this machine.
    """
    if Path(source).is_dir():
        return Path(source)
    name = source if source.startswith(HUB) else f"{HUB}{source}"
    try:
        folder = hub_folder(name)
    except UsageError:
        raise ModelNotFound(f"no model {source!r}: neither a folder nor the name of one on the hub") from None
    if not (folder / CONFIG_FILE).is_file():
        command = " ".join(["pixsearch model get", name, *get_options])
        raise ModelNotFound(f"no folder {source}, and no model {name} on this machine", f"Download it with: {command}")
    return folder
