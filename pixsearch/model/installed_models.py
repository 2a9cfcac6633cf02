"""The models on this machine: the built-in model, the user's own, models from the Hub, and incomplete downloads."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pixsearch.errors import ModelError, ModelNotFound, PixsearchError, UsageError
from pixsearch.model.checkpoints import (
    CONFIG_FILE,
    HUB,
    HUB_FOLDER,
    SHIPPED,
    SHIPPED_NAME,
    checkpoint_name,
    find_checkpoint,
    hub_folder,
    is_dual_encoder,
    load_config,
)
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.dual_encoder_config import DUAL_ENCODER_FILE
from pixsearch.model.hub_source import UNFINISHED, HubSource, unfinished_folder
from pixsearch.model.matching_heads import is_matching, model_type
from pixsearch.settings import models_folder

INCOMPLETE = "incomplete"
"""The kind of a model whose download is incomplete."""
_LIST = "List the models with: pixsearch model list"
_SHIPPED_LICENCE, _SHIPPED_LANGUAGES = "research and education", ("en",)
"""The licence and the languages of the built-in model, as stated in MODEL_CARD.md."""


@dataclass(frozen=True)
class InstalledModel:
    """A model on this machine, described from its files without loading it."""

    name: str
    """The name for `--model`."""
    folder: Path
    kind: str
    """Pixel-BERT, the model type in transformers, or INCOMPLETE."""
    size_bytes: int
    licence: str | None
    languages: tuple[str, ...]
    """The languages that it understands; empty if unknown."""
    revision: str | None
    """The commit on the Hub; None for a model from elsewhere."""


@dataclass(frozen=True)
class Abilities:
    """The inputs, outputs and abilities of a model, according to its config."""

    input_size: int | None
    """The edge of its input pictures, in pixels; None for a model that only re-ranks."""
    embedding_size: int | None
    reads_pairs: bool
    """True if it can read words and pixels together, as required for re-ranking and "Why this photo?"."""
    is_calibrated: bool
    """True if its scores can be converted to probabilities."""


def installed_models(used: str | None = None) -> list[InstalledModel]:
    """Return the models on this machine.

    The built-in model comes first, followed by the user's own models, models from the Hub and incomplete downloads,
    each sorted by name. The model named `used` comes last if it is stored elsewhere.
    """
    found = [describe(SHIPPED)]
    with suppress(PixsearchError):  # without a home directory, there is only the built-in model
        folder = models_folder()
        found += [describe(own) for own in _models_in(folder)]
        found += [describe(downloaded) for downloaded in _models_in(folder / HUB_FOLDER)]
        found += [_incomplete(one) for one in _folders_in(folder / HUB_FOLDER / UNFINISHED)]
    if used is not None:
        with suppress(PixsearchError):  # it no longer exists
            elsewhere = find_checkpoint(used)
            if elsewhere not in [model.folder.resolve() for model in found]:
                found.append(describe(elsewhere))
    return found


def find_installed(name: str) -> InstalledModel:
    """Return the model with the given name or folder. The prefix hub: is optional. Raises ModelNotFound, UsageError."""
    try:
        return describe(find_checkpoint(name))
    except ModelNotFound:
        in_hub = name if name.startswith(HUB) else f"{HUB}{name}"
        if in_hub.count("/") != 1:
            raise
        if (folder := unfinished_folder(in_hub)).is_dir():
            return _incomplete(folder)
        return describe(find_checkpoint(in_hub))


def describe(folder: Path) -> InstalledModel:
    """Return a description of the model in a checkpoint folder."""
    kind = model_type(folder) or "unknown" if is_dual_encoder(folder) else "Pixel-BERT"
    size_bytes = _size_bytes(folder)
    if folder.resolve() == SHIPPED.resolve():
        return InstalledModel(SHIPPED_NAME, folder, kind, size_bytes, _SHIPPED_LICENCE, _SHIPPED_LANGUAGES, None)
    name, source = _name(folder), HubSource.load(folder)
    if source is None:
        return InstalledModel(name, folder, kind, size_bytes, None, (), None)
    return InstalledModel(name, folder, kind, size_bytes, source.licence, source.languages, source.revision)


def abilities(model: InstalledModel) -> Abilities | None:
    """Return what a model can do, or None for a transformers model that has not been converted.

    Raises CheckpointInvalid if the config is damaged.
    """
    if is_matching(model.folder):
        return Abilities(None, None, True, False)
    if is_dual_encoder(model.folder) and not (model.folder / DUAL_ENCODER_FILE).is_file():
        return None
    config = load_config(model.folder)
    if isinstance(config, PixelBertConfig):
        return Abilities(config.input_size, config.embedding_size, True, config.calibration is not None)
    calibrated = config.calibration is not None or config.is_sigmoid
    return Abilities(config.seen_size[0], config.embedding_size, False, calibrated)


def entry_of(name: str) -> Path:
    """Return the path of a model in the models folder, without following links.

    Raises:
        UsageError: the model is the built-in one or outside the models folder, or the name is not valid.
        ModelNotFound: there is no such model.
    """
    models = models_folder()
    if name == SHIPPED_NAME:
        raise UsageError("the built-in model is part of pixsearch and cannot be removed", _LIST)
    if "/" not in name and ":" not in name and name not in ("", ".", "..", HUB_FOLDER):
        path = models / name
    elif Path(name).is_absolute() and Path(name).parent == models:
        path = Path(name)
    else:
        in_hub = name if name.startswith(HUB) else f"{HUB}{name}"
        paths = [hub_folder(in_hub), unfinished_folder(in_hub)]
        path = next((one for one in paths if os.path.lexists(one)), paths[0])
    if not os.path.lexists(path):
        raise ModelNotFound(f"no model {name!r} in {models}", _LIST)
    if path.parent.resolve() != models.resolve() / path.parent.relative_to(models):
        raise UsageError(f"{path.parent} is outside your models folder", f"Delete {path} manually")
    return path


def remove(entry: Path) -> None:
    """Delete a path returned by `entry_of`. Links are deleted, but not their targets. Raises ModelError."""
    try:
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
            return
        # Delete config.json last: if this is interrupted, the model is still listed and can be removed.
        for path in sorted(entry.iterdir(), key=lambda path: path.name == CONFIG_FILE):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        entry.rmdir()
    except OSError as error:
        raise ModelError(
            f"{error.filename or entry} cannot be deleted ({error.strerror})", "Run the command again"
        ) from error


def _models_in(folder: Path) -> list[Path]:
    return [one for one in _folders_in(folder) if (one / CONFIG_FILE).is_file()]


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError:
        return []


def _incomplete(folder: Path) -> InstalledModel:
    name = f"{HUB}{folder.name.replace('--', '/', 1)}"
    return InstalledModel(name, folder, INCOMPLETE, _size_bytes(folder), None, (), None)


def _name(folder: Path) -> str:
    """Return a model's name on the Hub or in the models folder, or its path if it has no name."""
    if (name := checkpoint_name(folder)).startswith(HUB):
        return name
    try:
        models = models_folder()
    except PixsearchError:
        return str(folder)
    own = models / folder.name
    return folder.name if own.is_dir() and own.resolve() == folder.resolve() else str(folder)


def _size_bytes(folder: Path) -> int:
    """Return the total size of a folder's files, ignoring files that are deleted during the call."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total
