"""The models on this machine: the one that ships, the user's own, those of the hub, and incomplete downloads."""

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
"""The kind of a download that is to be continued."""
_LIST = "See which there are with: pixsearch model list"
_SHIPPED_LICENCE, _SHIPPED_LANGUAGES = "research and education", ("en",)
"""As its MODEL_CARD.md says."""


@dataclass(frozen=True)
class InstalledModel:
    """A model on this machine, as far as its files say without being loaded."""

    name: str
    """By which `--model` finds it."""
    folder: Path
    kind: str
    """Pixel-BERT, the type that transformers gives it, or INCOMPLETE."""
    size_bytes: int
    licence: str | None
    languages: tuple[str, ...]
    """Empty where nothing says which."""
    revision: str | None
    """The commit on the hub."""


@dataclass(frozen=True)
class Abilities:
    """What a model takes and gives, by its config."""

    input_size: int | None
    """Edge of the pictures that it sees, in pixels; None for a model that only re-ranks."""
    embedding_size: int | None
    reads_pairs: bool
    """Whether it can read words and pixels together, as the re-rank and "Why" need it."""
    is_calibrated: bool
    """Whether its scores become probabilities."""


def installed_models(used: str | None = None) -> list[InstalledModel]:
    """Return the model that ships, then the user's own, then those of the hub, each by name, and last the one that is
    `used`, if it lies elsewhere."""
    found = [describe(SHIPPED)]
    with suppress(PixsearchError):  # without a home directory there is only the one that ships
        folder = models_folder()
        found += [describe(own) for own in _models_in(folder)]
        found += [describe(downloaded) for downloaded in _models_in(folder / HUB_FOLDER)]
        found += [_incomplete(one) for one in _folders_in(folder / HUB_FOLDER / UNFINISHED)]
    if used is not None:
        with suppress(PixsearchError):  # it is gone
            elsewhere = find_checkpoint(used)
            if elsewhere not in [model.folder.resolve() for model in found]:
                found.append(describe(elsewhere))
    return found


def find_installed(name: str) -> InstalledModel:
    """Return a model by its name or folder; `hub:` may be left out. Raises ModelNotFound, UsageError."""
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
    """Describe the model of a checkpoint's folder."""
    kind = model_type(folder) or "unknown" if is_dual_encoder(folder) else "Pixel-BERT"
    size_bytes = _size_bytes(folder)
    if folder.resolve() == SHIPPED.resolve():
        return InstalledModel(SHIPPED_NAME, folder, kind, size_bytes, _SHIPPED_LICENCE, _SHIPPED_LANGUAGES, None)
    name, source = _name(folder), HubSource.load(folder)
    if source is None:
        return InstalledModel(name, folder, kind, size_bytes, None, (), None)
    return InstalledModel(name, folder, kind, size_bytes, source.licence, source.languages, source.revision)


def abilities(model: InstalledModel) -> Abilities | None:
    """Return what a model can do; None for one that is not converted, or no model to search with.

    Raises CheckpointInvalid where its config is damaged.
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
    """Return where in the models folder the model of that name lies; a link is not followed.

    Raises:
        UsageError: it is the one that ships, or no name of a model in the models folder.
        ModelNotFound: there is none.
    """
    models = models_folder()
    if name == SHIPPED_NAME:
        raise UsageError("the model that ships is part of pixsearch and cannot be removed", _LIST)
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
        raise UsageError(f"{path.parent} leads out of your models folder", f"Delete {path} yourself")
    return path


def remove(entry: Path) -> None:
    """Delete what `entry_of` has found; of a link only the link, here and in the folder. Raises ModelError."""
    try:
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
            return
        # config.json goes last: what an interruption leaves is still listed, and can be removed.
        for path in sorted(entry.iterdir(), key=lambda path: path.name == CONFIG_FILE):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        entry.rmdir()
    except OSError as error:
        raise ModelError(f"{error.filename or entry} cannot be deleted ({error.strerror})", "Run it again") from error


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
    """The name on the hub or in the models folder, else the path."""
    if (name := checkpoint_name(folder)).startswith(HUB):
        return name
    try:
        models = models_folder()
    except PixsearchError:
        return str(folder)
    own = models / folder.name
    return folder.name if own.is_dir() and own.resolve() == folder.resolve() else str(folder)


def _size_bytes(folder: Path) -> int:
    """Return the total size of a folder's files, ignoring files that disappear meanwhile, as during a download."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total
