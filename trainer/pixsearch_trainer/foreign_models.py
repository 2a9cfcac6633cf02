"""Find pretrained models on this machine, without downloading anything."""

from __future__ import annotations

from pathlib import Path

from pixsearch.errors import ModelNotFound, UsageError
from pixsearch.model.checkpoints import CONFIG_FILE, HUB, hub_folder


def foreign_folder(source: str, *get_options: str) -> Path:
    """Return the folder of a model in transformers' format.

    Args:
        source: the folder, or the Hub name of a model that `pixsearch model get` has downloaded: organisation/model,
            with or without the prefix hub:.
        get_options: the options that `pixsearch model get` needs to download a model of this kind.

    Raises:
        ModelNotFound: the model is not on this machine.
    """
    if Path(source).is_dir():
        return Path(source)
    name = source if source.startswith(HUB) else f"{HUB}{source}"
    try:
        folder = hub_folder(name)
    except UsageError:
        raise ModelNotFound(f"{source!r} is neither a folder nor a Hub model name") from None
    if not (folder / CONFIG_FILE).is_file():
        command = " ".join(["pixsearch model get", name, *get_options])
        raise ModelNotFound(f"no folder {source}, and {name} has not been downloaded", f"Download it with: {command}")
    return folder
